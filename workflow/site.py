"""What MkDocs is told beyond mkdocs.yml: the site has the folders of the repository.

So links between the README, docs/ and other files are the same on the site as in the repository.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ("*.md", "LICENSE", "CITATION.cff", "config/README.md", "examples/*.py")
# Rooms whose docstrings are for people who write code against them.
ROOMS = ("loop", "pruning", "backbones.base", "data.tasks.base", "results", "statistics", "records")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Give every file its place in the repository, add those beside docs/ and the reference."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    own = sorted({*(ROOT / "docs").rglob("*.*"), *(p for name in BESIDE for p in ROOT.glob(name))})
    placed = [
        File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
        for path in own
    ]
    rooms = "\n\n".join(f"::: stprune.{room}" for room in ROOMS)
    reference = File.generated(config, "reference.md", content=f"# Reference\n\n{rooms}\n")
    return Files([*theme, *placed, reference])
