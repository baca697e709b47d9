"""Editing methods: one file each, reading like its paper."""
