"""Captioned pictures of one's own to train on, read as a stream that can stop and go on.

===========  ==========================================================================
``source``   what a ``--data`` location is: finds the kind, opens it
``folder``   pictures with ``metadata.jsonl``, with captions beside them, or in a CSV
``tars``     webdataset shards, read in place
``tables``   ``datasets``: hub ids, Parquet and Arrow files
``rows``     one picture with its caption, and what is wrong with it
``fit``      pictures to squares
``stream``   the endless order of rows: seeded, shared by processes, resumable
===========  ==========================================================================

A row that cannot be used is left out, counted, and named in the end.
"""
