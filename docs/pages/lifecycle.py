"""lcc/*.sh: the lifecycle scripts as `reaper lcc render` writes them when nothing is asked for."""

__all__ = ["TARGETS", "lifecycle_script"]

TARGETS = ("jupyter-server", "jupyterlab", "code-editor", "notebook-instance")


def lifecycle_script(target: str) -> str:
    """Give a target's script: a dry run, installed by pip; the settings at its top are there to be changed."""
    from reaper.cli.lcc import Target, default_variables, render_script

    return render_script(Target(target), variables=default_variables(Target(target)))
