"""Pictures read by processes: the same bits, the same errors, and no run lost with a process."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image
from run_fakes import here as here_in_fakes

from icd_bench.api import Sample
from icd_bench.benchmarks.folder import Folder
from icd_bench.benchmarks.scenes.loader import Scenes
from icd_bench.errors import BadSample
from icd_bench.run.reading.sample_reading import Fit, ReaderProcess, ReaderProcesses, SampleReader

FIT = Fit(16)


@pytest.fixture
def samples(tmp_path):
    """Six photos of a folder, the last of which changes once it is listed."""
    rng = np.random.default_rng(0)
    rows = ["image,source,target,mask"]
    for number in range(6):
        picture = rng.integers(0, 256, (24, 40, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        Image.fromarray(picture[:, :, 0] > 99).save(tmp_path / f"mask{number}.png")
        rows.append(f"{number}.png,a,b,mask{number}.png")
    (tmp_path / "prompts.csv").write_text("\n".join(rows))
    found = list(Folder(str(tmp_path)).samples())
    Image.new("RGB", (40, 24)).save(tmp_path / "5.png")
    return found


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        if isinstance(other, BadSample):
            assert (type(one), str(one)) == (BadSample, str(other))
            continue
        assert one.files == other.files
        for kind, array in vars(other.pictures).items():
            assert np.array_equal(getattr(one.pictures, kind), array)


def here(size):
    """A reader of this module, which no other process can import."""
    return np.full((size, size, 3), 7, np.uint8)


def broken():
    raise RuntimeError("a plugin's own fault")


def test_processes_give_the_bits_and_errors_of_threads(samples):
    own = replace(samples[0], read_image=lambda: here(8), read_mask=None)
    unknown = replace(samples[0], read_image=partial(here, 8), read_mask=None)
    expected = SampleReader(FIT).read([*samples, own, unknown])
    assert isinstance(expected[5], BadSample)
    assert "has changed since" in str(expected[5])
    with closing(ReaderProcesses(FIT, 2)) as processes:
        assert_same(processes.read([*samples, own, unknown]), expected)
        with pytest.raises(RuntimeError, match="a plugin's own fault"):
            processes.read([replace(own, read_image=broken)])

        groups = {os.getpgid(one.process.pid) for one in processes.running}
        assert os.getpgid(0) not in groups  # Ctrl-C goes to the group of the terminal

        for one in list(processes.running):
            one.process.kill()
        assert_same(processes.read(samples), expected[:6])
        assert processes.running == []


def test_processes_are_begun_where_enough_is_left_and_ended(samples):
    reader = SampleReader(FIT, expected=100, worth=0.001)
    expected = reader.read(samples)
    assert reader.processes is None  # nothing is known of the cost before
    assert_same(reader.read(samples), expected)
    ids = [one.process.pid for one in reader.processes.running]
    reader.close()
    for process_id in ids:
        with pytest.raises(ProcessLookupError):
            os.kill(process_id, 0)

    few = SampleReader(FIT, expected=len(samples), worth=0.001)
    for _ in range(2):
        few.read(samples)
    assert few.processes is None


def test_no_process_outlives_the_one_that_began_it():
    program = (
        "import sys, time\n"
        "from icd_bench.run.reading.sample_reading import Fit, ReaderProcesses\n"
        "processes = ReaderProcesses(Fit(16), 1)\n"
        "print(processes.running[0].process.pid, 'torch' in sys.modules, flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        process_id, torch_there = parent.stdout.readline().split()
        parent.kill()
    assert torch_there == "False"
    for _ in range(200):
        try:
            os.kill(int(process_id), 0)
        except ProcessLookupError:
            return
        if _is_zombie(int(process_id)):
            return
        time.sleep(0.05)
    pytest.fail("the process is still there")


def _is_zombie(process_id):
    with open(f"/proc/{process_id}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_an_unusable_sample_crosses_the_border():
    error = BadSample("prompts.csv, row 3", "image", "is cut short", "copy it again")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.field, copy.fix) == (str(error), "image", "copy it again")


def test_samples_of_every_loader_can_be_sent(samples):
    scene = next(iter(Scenes().samples()))
    for sample in (samples[0], scene):
        copy = pickle.loads(pickle.dumps(replace(sample, metadata={})))
        assert isinstance(copy, Sample)
        assert np.array_equal(copy.read_image(), sample.read_image())
        assert np.array_equal(copy.read_mask(), sample.read_mask())


def test_a_run_that_is_read_by_processes_is_the_same(samples, run, tmp_path, monkeypatch):
    begun = []
    begin = ReaderProcess.begin
    monkeypatch.setattr(ReaderProcess, "begin", lambda fit: begun.append(begin(fit)) or begun[-1])
    folder = {"benchmark": str(tmp_path), "metrics": here_in_fakes("Distance")}
    _, expected = run(**folder)
    assert begun == []
    monkeypatch.setattr(SampleReader, "_seconds_left", lambda self: 1e9)
    done, found = run(**folder, out=tmp_path / "second")
    assert begun
    assert all(one.process.poll() is not None for one in begun)
    columns = ["cell_id", "status", "source_sha256", "image_sha256", "error", "distance"]
    assert found[columns].equals(expected[columns])
    assert (done.done, done.failed) == (6, 0)
