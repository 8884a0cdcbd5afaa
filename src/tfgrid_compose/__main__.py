"""`python -m tfgrid_compose` is the same as `tfgrid-compose`."""

from tfgrid_compose.cli.main import main

if __name__ == "__main__":
    main()
