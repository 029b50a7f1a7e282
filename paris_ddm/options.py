"""What the `paris` system takes on the command line, beside `--checkpoint` and `--data-dir`."""

from mnist_ddm.systems.options import SystemOption

PARIS = (
    SystemOption("paris_dir", "paris: the folder of a model.  [default: the small one]", kind="path", place=True),
    SystemOption(
        "captions", "paris: captions, one in a line (.txt), JSON lines, or COCO's JSON.", kind="path", place=True
    ),
    SystemOption("paris_repo", "paris: a repository on the Hugging Face hub instead, OWNER/NAME."),
    SystemOption("revision", "paris: a commit of the repository."),
    SystemOption("guidance", "paris: scale of classifier-free guidance.  [default: 4]", kind="number"),
    SystemOption("guide", "paris: what guidance leads away from, expert or blend.  [default: expert]"),
    SystemOption("dtype", "paris: float32 or bfloat16.  [default: float32]"),
    SystemOption("detail", "paris: an undocumented detail, as time=1000t; may be repeated.", many=True),
)
