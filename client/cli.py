"""The command `render`: each command asks one module and shows what it gives."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from client.errors import RenderError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes longer to import than all the rest of --help
    help="Render Blender files on your own farm in AWS, or on this machine.",
)
local_app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="The whole farm on this machine, with no account at all."
)
app.add_typer(local_app, name="local")

Jobfile = Annotated[Path, typer.Option("-j", "--jobfile", help="The CSV with the renders.")]
JOBFILE = Path("joblist.csv")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"render {version('blender-aws-batch')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    pass


@app.command()
def configure(
    stackname: Annotated[str, typer.Option(help="The farm's stack, as `cdk deploy` named it.")],
    region: Annotated[str, typer.Option(help="AWS region; else the profile's.")] = "",
    profile: Annotated[str, typer.Option(help="AWS profile; else the default one.")] = "",
) -> None:
    """Use a farm: read its stack's outputs into ~/.renderconfig."""
    from client import config, farm, local, places, screen

    connection = local.connection_to(stackname) if not (region or profile) else None
    found = farm.read_stack(stackname, connection or farm.Connection(region=region, profile=profile))
    config.save(found)
    screen.note(
        f"Configured for {found.stack_name} in {'this machine' if found.endpoint_url else found.region} "
        f"(Blender {found.blender_version}, {found.device.upper()}); saved in {places.config_file()}."
    )
    quota = None if found.endpoint_url else farm.Farm(found).spot_quota()
    if quota and quota[1] < found.job_vcpus:
        screen.warn(
            f"The quota `{quota[0]}` of this account in {found.region} is {quota[1]:g} vCPUs and one job needs "
            f"{found.job_vcpus}: ask for more in the Service Quotas console, or no job will ever start."
        )
    screen.note("Next: `render init`, then `render add -b FILE`.")


@app.command()
def init(jobfile: Jobfile = JOBFILE) -> None:
    """Make a job file."""
    from client import screen
    from client.jobfile import JobFile

    JobFile(jobfile).create()
    screen.note(f"Made {jobfile}. Next: `render add -b FILE`.")


@app.command()
def add(
    blend: Annotated[Path, typer.Option("-b", "--blend", help="The .blend to render.")],
    scene: Annotated[str | None, typer.Option("-S", "--scene", help="Scene; else the file's active one.")] = None,
    camera: Annotated[str | None, typer.Option("--camera", help="Camera; else the scene's own.")] = None,
    startframe: Annotated[int | None, typer.Option("-f", "--startframe", help="First frame.")] = None,
    endframe: Annotated[int | None, typer.Option("-e", "--endframe", help="Last frame.")] = None,
    step: Annotated[int | None, typer.Option("-t", "--step", help="Render every n-th frame.")] = None,
    breaksize: Annotated[
        str | None, typer.Option("-k", "--breaksize", help="Frames of a chunk; auto makes chunks of about 15 minutes.")
    ] = None,
    xres: Annotated[int | None, typer.Option("-x", "--xres", help="Width in pixels.")] = None,
    yres: Annotated[int | None, typer.Option("-y", "--yres", help="Height in pixels.")] = None,
    percentage: Annotated[int | None, typer.Option("-p", "--percentage", help="Resolution percentage.")] = None,
    samples: Annotated[int | None, typer.Option("-s", "--samples", help="Samples of a pixel.")] = None,
    review: Annotated[int | None, typer.Option("--review", help="Render every n-th frame first.")] = None,
    description: Annotated[str, typer.Option("-d", "--description", help="A note for yourself.")] = "",
    additional: Annotated[
        list[Path] | None,
        typer.Option("-a", "--additionalfile", help="A file or folder to put beside the .blend; may be repeated."),
    ] = None,
    autoexec: Annotated[bool, typer.Option("--autoexec", help="Let Python in the .blend run on the farm.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Render although files that the .blend refers to are missing.")
    ] = False,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", min=0.01, help="Dollars at which nothing more is started, e.g. 2.50.")
    ] = None,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Add a render; what is not given is taken from the .blend, what is given is checked against it."""
    from client import adding, screen
    from client.jobfile import JobFile

    given = {
        "description": description,
        "scene": scene,
        "camera": camera,
        "startframe": startframe,
        "endframe": endframe,
        "step": step,
        "breaksize": breaksize,
        "review": review,
        "xres": xres,
        "yres": yres,
        "percentage": percentage,
        "samples": samples,
        "autoexec": "yes" if autoexec else None,
        "allow_missing": "yes" if allow_missing else None,
        "max_cost": max_cost,
    }
    added = adding.add(JobFile(jobfile), blend, given, additional or [])
    for warning in added.warnings:
        screen.warn(warning)
    files = f"{added.files} {'files' if added.files > 1 else 'file'}, {screen.size_of(added.size)}"
    screen.note(f"{added.render.label} added to {jobfile}: {added.summary}; {files} go along. Next: `render process`.")


@app.command()
def describe(
    jobfile: Jobfile = JOBFILE,
    dates: Annotated[bool, typer.Option("--dates", help="Show when each render was submitted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the job file, without asking the farm."""
    from client import screen
    from client.jobfile import JobFile

    renders, broken = JobFile(jobfile).read()
    if as_json:
        screen.show_json([screen.render_data(render) for render in renders])
    else:
        screen.show_renders(renders, dates=dates)
    for row in broken:
        screen.warn(row.reason)
    if broken:
        raise typer.Exit(1)


@app.command()
def process(
    jobfile: Jobfile = JOBFILE,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until every render rests.")] = False,
    dryrun: Annotated[bool, typer.Option("--dryrun", help="Only show what would be uploaded and submitted.")] = False,
) -> None:
    """Upload, submit, check and fetch: take every render as far as it can go now."""
    if dryrun:
        _show_dryrun(jobfile)
        return
    from client import config, screen
    from client.farm import Farm
    from client.jobfile import JobFile
    from client.process import process as one_pass
    from client.watch import watch as passes

    renders, farm = JobFile(jobfile), Farm(config.load())
    with screen.listener(live=watch) as listener:
        if watch:
            outcome = passes(renders, farm, listener)
        else:
            with renders.one_pass():
                outcome = one_pass(renders, farm, listener)
    screen.show_renders(renders.read()[0], dates=False)
    if outcome.in_flight:
        screen.note("Not finished yet: run `render process` again, or `render process --watch`.")
    raise typer.Exit(outcome.exit_code)


@app.command()
def retry(
    ids: Annotated[list[int], typer.Argument(help="The renders' ids, as `render describe` shows them.")],
    frames: Annotated[str, typer.Option("--frames", help="Frames to render again, such as 3,7-9.")] = "",
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Render again what is missing, or the frames named; finished frames are kept."""
    from client import config, screen
    from client.farm import Farm
    from client.frames import parsed
    from client.jobfile import JobFile
    from client.process import process as one_pass
    from client.retry import retry as prepare

    renders, farm = JobFile(jobfile), Farm(config.load())
    named = parsed(frames) if frames else None
    with renders.one_pass(), screen.listener(live=False) as listener:
        for render in renders.chosen(ids):
            done = prepare(renders, farm, render, named)
            screen.note(f"{render.label}: {len(done.again)} frames again; {done.saved} finished ones are kept")
        one_pass(renders, farm, listener)
    screen.note("Next: `render process --watch`.")


@app.command()
def cancel(
    ids: Annotated[list[int], typer.Argument(help="The renders' ids, as `render describe` shows them.")],
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Stop renders; their finished frames are kept."""
    from client import config, screen
    from client.cancel import cancel as stop
    from client.farm import Farm
    from client.jobfile import JobFile

    renders, farm = JobFile(jobfile), Farm(config.load())
    for render in renders.chosen(ids):
        done = stop(renders, farm, render)
        screen.note(
            f"{done.label} is cancelled; {done.frames_done} of {done.frames_total} frames are finished and kept"
        )


@app.command()
def logs(
    number: Annotated[int, typer.Argument(metavar="ID", help="The render's id, as `render describe` shows it.")],
    chunk: Annotated[int, typer.Option("--chunk", min=0, help="Which chunk, counted from 0.")] = 0,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="Which attempt; else the latest.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the chunk has ended.")] = False,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Show the worker's log of a chunk, such as `render logs 3 --chunk 2 --follow`."""
    from client import config, screen
    from client import logs as worker_logs
    from client.account import Account
    from client.jobfile import JobFile

    (render,) = JobFile(jobfile).chosen([number])
    for line in worker_logs.lines(Account(config.load()), render, chunk, attempt, follow=follow, say=screen.note):
        screen.out_line(line)


@app.command()
def cost(
    ids: Annotated[list[int] | None, typer.Argument(help="The renders' ids; else all that have run.")] = None,
    month: Annotated[bool, typer.Option("--month", help="Add them up by month.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Show what renders cost so far, a frame and to completion, such as `render cost 3` or `render cost --month`."""
    from client import config, screen
    from client import cost as money
    from client.account import Account
    from client.farm import Farm
    from client.jobfile import JobFile

    renders, settings = JobFile(jobfile), config.load()
    chosen = renders.chosen(ids) if ids else renders.read()[0]
    costs, warnings = money.costs(Farm(settings), Account(settings), chosen)
    if as_json:
        screen.show_json(money.months(costs) if month else [each.data() for each in costs])
    elif month:
        screen.show_table(money.MONTH_COLUMNS, money.month_cells(costs))
    else:
        screen.show_table(money.COLUMNS, [each.cells() for each in costs])
    for warning in warnings:
        screen.warn(warning)
    screen.note(money.LEFT_OUT if not settings.endpoint_url else money.LOCAL)


@app.command()
def report(
    number: Annotated[int, typer.Argument(metavar="ID", help="The render's id, as `render describe` shows it.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write; else report.html beside the frames.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Write one HTML file that shows a render: frames, times, hosts, cost; such as `render report 3 --open`."""
    import webbrowser

    from client import report as pages
    from client import screen
    from client.jobfile import JobFile

    (render,) = JobFile(jobfile).chosen([number])
    path = pages.write(render, output, screen.note)
    screen.out(str(path))
    if show and not webbrowser.open(path.as_uri()):
        screen.warn(f"No browser could be opened: open {path} yourself.")


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what is wrong with the farm or costs while nothing renders, each with its fix; `render doctor --json`."""
    from client import config, screen
    from client import doctor as checks

    findings = checks.examine(config.load())
    if as_json:
        screen.show_json([finding.data() for finding in findings])
    else:
        screen.show_table(["check", "is", "what"], [[each.check, each.level.value, each.said] for each in findings])
    for each in findings:
        if each.fix and not as_json:
            screen.note(f"{each.check}: {each.fix}")
    if any(each.level in checks.TROUBLE for each in findings):
        raise typer.Exit(1)


@app.command()
def demo() -> None:
    """Render a sample scene on this machine, the whole way."""
    from client import demo as showing
    from client import screen

    with screen.listener(live=True) as listener:
        shown = showing.run(listener)
    activate = "" if shutil.which("render") else "\nFor `render` to be known: source .venv/bin/activate"
    screen.note(f"\n{shown.frames} frames in {shown.seconds:.0f} s:")
    screen.out(str(shown.folder))
    screen.note(
        f"\nLook at them there, and at the job file with `render describe -j {shown.jobfile}`.{activate}\n"
        "Next, your own file: `render init`, `render add -b FILE.blend`, `render process --watch`.\n"
        "The local farm stays up until `render local down`; docs/deploy.md takes you to AWS."
    )


@local_app.command()
def up() -> None:
    """Start the local farm and use it."""
    from client import local, screen

    farm, started = local.up(screen.note)
    screen.note(
        f"The local farm {'is up' if started else 'was up already'} at {farm.endpoint_url} with {farm.blender}; "
        f"the client uses it as stack {farm.stack_name}. Its log: {farm.log}"
    )


@local_app.command()
def down() -> None:
    """Stop the local farm and its workers; what it holds is forgotten, what was fetched stays."""
    from client import local, screen

    screen.note("The local farm is stopped." if local.down() else "The local farm was not up.")


@local_app.command()
def status() -> None:
    """Say whether the local farm is up."""
    from client import local, screen

    farm = local.status()
    if farm is None:
        screen.note("The local farm is not up: start it with `render local up`.")
        raise typer.Exit(3)
    screen.out(f"{farm.stack_name}\t{farm.endpoint_url}\tprocess {farm.pid}\t{farm.blender}\t{farm.log}")


def _show_dryrun(jobfile: Path) -> None:
    from client import dryrun, screen
    from client.jobfile import JobFile

    shown = dryrun.dryrun(JobFile(jobfile))
    screen.show_table(
        ["id", "blend", "files", "bytes", "chunks", "frames"],
        [
            [
                str(line.render.id),
                line.render.blend.name,
                str(line.files),
                str(line.size),
                str(line.chunks),
                line.frames,
            ]
            for line in shown.submissions
        ],
    )
    for text in shown.refusals:
        screen.warn(text)
    screen.note("Nothing was uploaded and nothing was submitted.")
    if shown.refusals:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; what a user or AWS can cause ends in one sentence."""
    for stream in (sys.stdout, sys.stderr):
        # A Windows console's code page may lack a letter of a file's name.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except RenderError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("\nStopped here; what was submitted goes on. `render process --watch` comes back to it.", err=True)
        sys.exit(130)
