"""`python -m mnist_ddm` is `mnist-ddm`."""

from mnist_ddm.cli import main

if __name__ == "__main__":
    main()
