"""The run folder: events, records, results, manifest; nothing is lost and nothing half written."""
