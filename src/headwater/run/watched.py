"""What plans and runs of a project depend on beside its definitions and the lake."""

from __future__ import annotations

from headwater.index.memo import Watched
from headwater.project.definitions import Project, PythonModel, SourceDataset
from headwater.project.python_models import module_places
from headwater.sources.files.path_columns import as_glob


def watched(project: Project) -> Watched:
    """The paths of its sources, as `discover` looks for them, the modules of its functions, and the
    files that were read."""
    patterns: dict[str, None] = {}
    modules: set[str] = set()
    for dataset in project.datasets.values():
        if isinstance(dataset, SourceDataset):
            for path in dataset.definition.path:
                patterns[str(project.folder / as_glob(path.glob))] = None
        elif isinstance(dataset, PythonModel):
            modules.update(str(place) for place in module_places(dataset.path, project.folder))
    return Watched(list(patterns), sorted(modules), project.texts.keys())
