"""`python -m engines.cli`."""

from engines.cli import main

main()
