"""`python -m cervbench` is `cervbench`."""

from cervbench.cli import main

main()
