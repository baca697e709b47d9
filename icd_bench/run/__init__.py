"""Plan, cells, store and engines: from arguments to a finished run folder."""
