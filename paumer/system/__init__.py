"""What every stage needs of the computer: files, locks, progress, errors, and what machine this is."""
