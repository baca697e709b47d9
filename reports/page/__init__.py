"""``icd-bench report``: a run as a page that opens from the disk, without a network.

:func:`icd_bench.reports.page.build.build_report` makes it; ``assets`` holds what is shown.
"""
