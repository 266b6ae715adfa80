// Start the tables of a board.
startTables();
