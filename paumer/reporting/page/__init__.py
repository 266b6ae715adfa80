"""The report: one self-contained page whose charts and pictures react."""
