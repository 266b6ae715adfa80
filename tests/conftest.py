"""What all tests share."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # how fast a machine is says nothing about the code
settings.load_profile("no deadline")
