"""The scenes world: procedural pictures with captions, edits, exact masks and true results."""
