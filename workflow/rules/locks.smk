# One run in a results folder at a time, and no job that goes on after its run was killed.
from paumer import locks

locks.own_children()


onstart:
    try:
        locks.hold_run(RESULTS)
    except PaumerError as error:
        sys.exit(f"paumer: error: {error}")
