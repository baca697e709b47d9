"""What to run: methods x settings x rows, as cells named by their content."""
