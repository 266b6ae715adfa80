"""Tables from measured files."""
