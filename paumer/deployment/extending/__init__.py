"""Methods from outside: the checks that a strategy passes, and a package to start one with."""
