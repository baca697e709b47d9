"""Pictures of samples: read, fitted to the model's resolution, kept in the run folder."""
