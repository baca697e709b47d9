"""Backbone, schedule, noise, guidance and attention control of diffusion models."""
