"""The parts of the report that answer back: data for its scripts, and the charts that they fill."""
