"""`python -m paumer VERB`, which is what `torchrun -m paumer VERB` starts."""

from paumer.cli import main

main()
