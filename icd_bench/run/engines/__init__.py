"""Who computes the cells: this process, several, or a cluster; units, batches, time limits."""
