"""Where a deployment can run: the grids, their nodes, prices and addresses."""
