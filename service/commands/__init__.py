"""What each command of `nearfit` does; `service/cli.py` chooses among them."""
