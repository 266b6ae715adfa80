# One run in a results folder at a time, and no job that goes on after its run was killed.
from paumer.system import locks

locks.adopt_children()


onstart:
    with exit_on_user_error():
        locks.hold_run(RESULTS)
