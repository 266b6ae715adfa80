"""What the workflow says of a run while it plans and runs it: how long it takes, and where each job stands."""
