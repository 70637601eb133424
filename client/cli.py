"""The command `render`: each command asks one module and shows what it gives."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from client.errors import RenderError


def _examples(*lines: str) -> str:
    """Put examples below a command's help, line by line: the mark keeps them from being wrapped."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes longer to import than all the rest of --help
    help="Render Blender files on your own farm in AWS, or on this machine.",
    epilog=_examples("render init", "render add -b shot.blend", "render watch", "render describe"),
)
local_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="The whole farm on this machine, with no account at all.",
    epilog=_examples("render local up", "render local down"),
)
app.add_typer(local_app, name="local")

JOBFILE = Path("joblist.csv")
_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count: 128 and the signal's number."""


def _known_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    from client import completion

    return completion.ids(ctx.params.get("jobfile") or JOBFILE, incomplete, map(str, ctx.params.get("ids") or ()))


Jobfile = Annotated[Path, typer.Option("-j", "--jobfile", help="The CSV with the renders.")]
Ids = Annotated[
    list[int],
    typer.Argument(help="The renders' ids, as `render describe` shows them.", autocompletion=_known_ids),
]
Execute = Annotated[
    str,
    typer.Option(
        "--exec", metavar="CMD", help="Run this in your shell at the end; it finds RENDER_STATUS, done or failed."
    ),
]
NoNotice = Annotated[bool, typer.Option("--no-notice", help="At the end, no bell and no notice on the desktop.")]


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


@app.command(
    epilog=_examples(
        "render configure --stackname RenderFarm",
        "render configure --stackname RenderFarm --region eu-central-1",
    )
)
def configure(
    stackname: Annotated[str, typer.Option(help="The farm's stack, as `cdk deploy` named it.")],
    region: Annotated[str, typer.Option(help="AWS region; else the profile's.")] = "",
    profile: Annotated[str, typer.Option(help="AWS profile; else the default one.")] = "",
) -> None:
    """Use a farm: read its stack's outputs into ~/.renderconfig."""
    from client import config, connection, farm, local, places, screen

    reach = local.connection_to(stackname) if not (region or profile) else None
    found = farm.read_stack(stackname, reach or connection.Connection(region=region, profile=profile))
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


@app.command(epilog=_examples("render init", "render init -j shots.csv"))
def init(jobfile: Jobfile = JOBFILE) -> None:
    """Make a job file."""
    from client import screen
    from client.jobfile import JobFile

    JobFile(jobfile).create()
    screen.note(f"Made {jobfile}. Next: `render add -b FILE`.")


@app.command(
    epilog=_examples(
        "render add -b shot.blend",
        "render add -b shot.blend -S Scene -f 1 -e 250 -k 10 -s 128 -p 50",
        "render add -b shot.blend -a textures -a pre_render.sh --max-cost 2.50",
    )
)
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
        typer.Option(
            "-a", "--additionalfile", metavar="FILE", help="A file or folder to put beside the .blend; may be repeated."
        ),
    ] = None,
    autoexec: Annotated[bool, typer.Option("--autoexec", help="Let Python in the .blend run on the farm.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Render although files that the .blend refers to are missing.")
    ] = False,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", min=0.01, help="Dollars at which nothing more is started, e.g. 2.50.")
    ] = None,
    movie: Annotated[bool, typer.Option("--movie", help="Make a movie of the frames when all are here.")] = False,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Add a render; what is not given is taken from the .blend, what is given is checked against it."""
    from client import adding, screen, wording
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
        "movie": "yes" if movie else None,
    }
    added = adding.add(JobFile(jobfile), blend, given, additional or [])
    for warning in added.warnings:
        screen.warn(warning)
    files = f"{added.files} {'files' if added.files > 1 else 'file'}, {wording.size(added.size)}"
    screen.note(f"{added.render.label} added to {jobfile}: {added.summary}; {files} go along. Next: `render process`.")


@app.command(epilog=_examples("render describe", "render describe --json"))
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


@app.command(
    epilog=_examples("render process", "render process --dryrun", "render process --watch --exec 'systemctl suspend'")
)
def process(
    jobfile: Jobfile = JOBFILE,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until every render rests.")] = False,
    dryrun: Annotated[bool, typer.Option("--dryrun", help="Only show what would be uploaded and submitted.")] = False,
    execute: Execute = "",
    no_notice: NoNotice = False,
) -> None:
    """Upload, submit, check and fetch: take every render as far as it can go now."""
    if (execute or no_notice) and not watch:
        raise typer.BadParameter("--exec and --no-notice go with --watch, which alone has an end.")
    if dryrun:
        _show_dryrun(jobfile)
        return
    if watch:
        _watch(jobfile, execute, notice=not no_notice)
    from client import config, screen
    from client.farm import Farm
    from client.jobfile import JobFile
    from client.process import Process

    renders, farm = JobFile(jobfile), Farm(config.load())
    with renders.one_pass(), screen.listener(live=False) as listener:
        outcome = Process(renders, farm, listener).once()
    screen.show_renders(renders.read()[0], dates=False)
    if outcome.in_flight:
        screen.note("Not finished yet: run `render process` again, or `render watch`.")
    raise typer.Exit(outcome.exit_code)


@app.command(epilog=_examples("render watch", "render watch --exec 'notify-phone \"renders: $RENDER_STATUS\"'"))
def watch(jobfile: Jobfile = JOBFILE, execute: Execute = "", no_notice: NoNotice = False) -> None:
    """Repeat `render process` until every render rests, on a live screen; Ctrl-C leaves it and stops no render."""
    _watch(jobfile, execute, notice=not no_notice)


@app.command(epilog=_examples("render retry 3", "render retry 3 --frames 12,20-24"))
def retry(
    ids: Ids,
    frames: Annotated[str, typer.Option("--frames", help="Frames to render again, such as 3,7-9.")] = "",
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Render again what is missing, or the frames named; finished frames are kept."""
    from client import config, screen
    from client.farm import Farm
    from client.frames import parsed
    from client.jobfile import JobFile
    from client.process import Process
    from client.retry import retry as prepare

    renders, farm = JobFile(jobfile), Farm(config.load())
    named = parsed(frames) if frames else None
    with renders.one_pass(), screen.listener(live=False) as listener:
        for render in renders.chosen(ids):
            done = prepare(renders, farm, render, named)
            screen.note(
                f"{render.label}: {len(done.again)} frames again; {done.saved} finished ones are kept"
                + (f", {done.fetched} files of them came from the farm" if done.fetched else "")
            )
        Process(renders, farm, listener).once()
    screen.note("Next: `render process --watch`.")


@app.command(epilog=_examples("render cancel 3", "render cancel 3 4 -j shots.csv"))
def cancel(
    ids: Ids,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Stop renders; their finished frames are kept."""
    from client import config, screen
    from client.cancel import cancel_each, keep_finished
    from client.farm import Farm
    from client.jobfile import JobFile

    renders, farm = JobFile(jobfile), Farm(config.load())
    stopped, refusals = cancel_each(renders, farm, ids)
    for refusal in refusals:
        screen.warn(refusal)
    with renders.one_pass(wait=True):
        for render in stopped:
            kept = keep_finished(renders, farm, render)
            screen.note(
                f"{kept.label} is cancelled; {kept.frames_done} of {kept.frames_total} frames are finished and kept"
            )
    if refusals:
        raise typer.Exit(1)


@app.command(epilog=_examples("render logs 3", "render logs 3 --chunk 2 --follow"))
def logs(
    number: Annotated[
        int,
        typer.Argument(metavar="ID", help="The render's id, as `render describe` shows it.", autocompletion=_known_ids),
    ],
    chunk: Annotated[int, typer.Option("--chunk", min=0, help="Which chunk, counted from 0.")] = 0,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="Which attempt; else the latest.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the chunk has ended.")] = False,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Show the worker's log of a chunk."""
    from client import config, screen
    from client import logs as worker_logs
    from client.account import Account
    from client.jobfile import JobFile

    (render,) = JobFile(jobfile).chosen([number])
    for line in worker_logs.lines(Account(config.load()), render, chunk, attempt, follow=follow, say=screen.note):
        screen.out_line(line)


@app.command(epilog=_examples("render show 3", "render show 3 --frame 12", "render show 3 --sheet"))
def show(
    number: Annotated[
        int,
        typer.Argument(metavar="ID", help="The render's id, as `render describe` shows it.", autocompletion=_known_ids),
    ],
    frame: Annotated[int | None, typer.Option("--frame", help="This frame; else the one that came last.")] = None,
    sheet: Annotated[bool, typer.Option("--sheet", help="The contact sheet of all frames.")] = False,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Open a frame or the contact sheet, and print its path."""
    from client import screen
    from client.jobfile import JobFile
    from client.pictures import album, viewer

    (render,) = JobFile(jobfile).chosen([number])
    path = album.shown(render, frame, sheet=sheet)
    screen.out(str(path))
    viewer.view(path)


@app.command(epilog=_examples("render movie 3", "render movie 3 --fps 12"))
def movie(
    number: Annotated[
        int,
        typer.Argument(metavar="ID", help="The render's id, as `render describe` shows it.", autocompletion=_known_ids),
    ],
    fps: Annotated[float | None, typer.Option("--fps", help="Frames a second; else the scene's own speed.")] = None,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Make a movie of the frames that are here."""
    from client import screen
    from client.jobfile import JobFile
    from client.pictures import album

    (render,) = JobFile(jobfile).chosen([number])
    with screen.counting(f"{render.id} {render.blend.stem}") as told:
        made = album.make_movie(render, told, fps)
    screen.out(str(made.path))
    screen.note(f"{render.label}: a movie of {made.frames} frames, {float(made.rate):.4g} a second")
    if missing := album.missing_of(render, made):
        screen.warn(missing)


@app.command(epilog=_examples("render cost", "render cost 3", "render cost --month"))
def cost(
    ids: Annotated[
        list[int] | None, typer.Argument(help="The renders' ids; else all that have run.", autocompletion=_known_ids)
    ] = None,
    month: Annotated[bool, typer.Option("--month", help="Add them up by month.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Show what renders cost so far, a frame and to completion."""
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


@app.command(epilog=_examples("render estimate 3", "render estimate 3 --here --frames 3"))
def estimate(
    number: Annotated[
        int,
        typer.Argument(metavar="ID", help="The render's id, as `render describe` shows it.", autocompletion=_known_ids),
    ],
    here: Annotated[bool, typer.Option("--here", help="Measure on this machine, whatever was measured.")] = False,
    frame: Annotated[
        int | None, typer.Option("--frame", min=0, help="Measure this frame; else the middle one.")
    ] = None,
    frames: Annotated[int | None, typer.Option("--frames", min=1, max=20, help="Measure so many, such as 3.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Say what a render will cost and how long it takes."""
    from client import config, sample, screen
    from client import estimate as estimating
    from client.farm import Farm
    from client.jobfile import JobFile

    settings = config.load()
    with screen.listener(live=False) as listener:
        found = estimating.estimate(
            JobFile(jobfile),
            number,
            settings,
            here=here,
            frame=frame,
            count=frames,
            time_on_farm=lambda *what: sample.time_on_farm(Farm(settings), listener, *what),
            say=screen.note,
        )
    if as_json:
        screen.show_json(found.data())
    else:
        screen.show_table(estimating.COLUMNS, found.cells())
    for each in found.notes:
        screen.note(each)


@app.command(epilog=_examples("render report 3", "render report 3 --open"))
def report(
    number: Annotated[
        int,
        typer.Argument(metavar="ID", help="The render's id, as `render describe` shows it.", autocompletion=_known_ids),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write; else report.html beside the frames.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    jobfile: Jobfile = JOBFILE,
) -> None:
    """Write one HTML file that shows a render: frames, times, hosts, cost."""
    import webbrowser

    from client import screen
    from client.jobfile import JobFile
    from client.report import write as pages

    (render,) = JobFile(jobfile).chosen([number])
    path = pages.write(render, output, screen.note)
    screen.out(str(path))
    if show and not webbrowser.open(path.as_uri()):
        screen.warn(f"No browser could be opened: open {path} yourself.")


@app.command(epilog=_examples("render doctor", "render doctor --json"))
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what is wrong with the farm or costs while nothing renders, each with its fix."""
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


@app.command(epilog=_examples("render demo"))
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


@local_app.command(epilog=_examples("render local up"))
def up() -> None:
    """Start the local farm and use it."""
    from client import local, screen

    farm, started = local.up(screen.note)
    screen.note(
        f"The local farm {'is up' if started else 'was up already'} at {farm.endpoint_url} with {farm.blender}; "
        f"the client uses it as stack {farm.stack_name}. Its log: {farm.log}"
    )


@local_app.command(epilog=_examples("render local down"))
def down() -> None:
    """Stop the local farm and its workers; what it holds is forgotten, what was fetched stays."""
    from client import local, screen

    screen.note("The local farm is stopped." if local.down() else "The local farm was not up.")


@local_app.command(epilog=_examples("render local status"))
def status() -> None:
    """Say whether the local farm is up."""
    from client import local, screen

    farm = local.status()
    if farm is None:
        screen.note("The local farm is not up: start it with `render local up`.")
        raise typer.Exit(3)
    screen.out(f"{farm.stack_name}\t{farm.endpoint_url}\tprocess {farm.pid}\t{farm.blender}\t{farm.log}")


def _watch(jobfile: Path, execute: str, *, notice: bool) -> NoReturn:
    from client import config, ending, screen
    from client.farm import Farm
    from client.jobfile import JobFile
    from client.watch import watch as passes

    renders, farm = JobFile(jobfile), Farm(config.load())
    with screen.listener(live=True) as listener:
        outcome = passes(renders, farm, listener)
    rows = renders.read()[0]
    screen.show_end(listener, rows)
    ended = ending.Ending.of(jobfile, rows, outcome)
    if notice:
        screen.call(ended.title, ended.text)
    try:
        ending.execute(execute, ended)
    except RenderError as error:
        screen.warn(str(error))
    raise typer.Exit(outcome.exit_code)


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
    except (RenderError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            typer.echo("\nStopped here; what was submitted goes on. `render watch` comes back to it.", err=True)
        raise
