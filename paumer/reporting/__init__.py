"""From measured CSV files to tables, figures and one self-contained report page."""
