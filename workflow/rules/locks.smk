# One run in a results folder at a time, and no job that goes on after its run was killed.
from paumer.system import locks

locks.own_children()


onstart:
    with mistakes_in_one_line():
        locks.hold_run(RESULTS)
