"""Run `python -m vaggapy`."""

from vaggapy.cli.main import main

if __name__ == "__main__":
    main()
