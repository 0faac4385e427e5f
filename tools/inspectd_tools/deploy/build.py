"""The steps of a build: export, judge, fit a guard, choose, write, report."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd.inference import Engine, InferenceConfig, load_bundle, load_engine, write_manifest
from inspectd.inference.manifest import Manifest, Threshold
from inspectd.learning.by_kind import ByKind
from inspectd.learning.cap import USUAL_CAP
from inspectd.learning.threshold import USUAL_ALPHA, parts_needed, usual_alpha
from inspectd.terminal import console
from inspectd_tools.deploy import cross_validated, further_photos
from inspectd_tools.deploy.bundle import Model, architecture, described, golden_places, listed, write_golden
from inspectd_tools.deploy.calibration import Calibration
from inspectd_tools.deploy.card.card import no_guard, write_card
from inspectd_tools.deploy.deciding import deciding_photos, deciding_section, deciding_text, write_sheet
from inspectd_tools.deploy.export import write_model_files
from inspectd_tools.deploy.guard.beside import Beside, fit_beside
from inspectd_tools.deploy.guard.bundle import provenance, write_guard
from inspectd_tools.deploy.guard.photos import Good, good_beside, good_of_crossed, to_fit, too_few
from inspectd_tools.deploy.guard.section import summary as guard_summary
from inspectd_tools.deploy.guard.small_faults import small_faults
from inspectd_tools.deploy.held_out import check_guarantee
from inspectd_tools.deploy.judged import Judged, judge
from inspectd_tools.deploy.keeping import keep_photos, trained_photos
from inspectd_tools.deploy.options import Options
from inspectd_tools.deploy.parity import check_parity
from inspectd_tools.deploy.precision import Candidate, choose, precision_table, try_out, try_out_plan
from inspectd_tools.deploy.separate import check_separate
from inspectd_tools.deploy.tensorrt import write_plan
from inspectd_tools.deploy.threshold_curve import write_tradeoff
from inspectd_tools.deploy.threshold_report import bounds_table, cap_warnings, other_bounds, summary
from inspectd_tools.deploy.tries import charge
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.exported import exported
from inspectd_tools.networks.predict import Network
from inspectd_tools.networks.runtimes import openvino_network
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.out_of_fold import OutOfFold, read_out_of_fold
from inspectd_tools.training.run_folder import git_commit, read_run, trained_with


def build(options: Options, calibration_photos: Path, test_photos: Path) -> str:
    """Write the bundle to the folder `options.out`, and return what is said about it."""
    settings, classifier, run = read_run(options.run)
    crossed = None if options.calibration else read_out_of_fold(options.run)
    model = exported(classifier, settings.input)
    models = write_model_files(model, settings.input, options.out)
    network = openvino_network(options.out / "openvino" / "model.xml")
    calibration = _calibration(options, calibration_photos, crossed, settings, network)
    parity = check_parity(model, calibration, options.out)
    test = judge(test_photos, "test", settings, network)

    chosen = _choose(options, settings, crossed, calibration, test)
    manifest = Manifest(
        name=options.name,
        version=options.version,
        created=datetime.now(UTC).replace(microsecond=0),
        git_commit=git_commit(),
        architecture=architecture(settings),
        classes=settings.classes,
        pass_class=settings.pass_class,
        input=settings.input,
        head=described(classifier),
        threshold=chosen.fp32.threshold,
        files=listed([*models, *chosen.files], options.out),
        golden=write_golden(calibration, chosen.golden, options.out),
        golden_tolerance=chosen.fp32.tolerance,
        precisions={c.precision: c.arithmetic(chosen.golden) for c in chosen.all_offered if c.precision != "fp32"},
        recommended=chosen.recommended.precision,
        guard=None
        if isinstance(chosen.guard, str)
        else write_guard(chosen.guard.fitted, chosen.guard.golden, options.out, joint=True),
        training={
            "settings": settings.model_dump(mode="json"),
            "run": run,
            "parity": parity,
            **({} if isinstance(chosen.guard, str) else {"guard": provenance(chosen.guard.fitted)}),
        },
    )
    write_manifest(options.out, manifest)
    _keep_photos(options, settings, crossed, chosen)
    return _report(options, settings, classifier, crossed, manifest, chosen)


@dataclass(frozen=True, slots=True)
class _Chosen:
    golden: list[int]
    """Places of the golden images in the calibration set."""
    guard: Beside | str
    """Or why there is none."""
    calibration: Judged
    test: Judged
    chosen_from: Calibration
    thresholds: list[Threshold]
    """In fp32, for each bound that was asked for."""
    tried: list[Candidate]
    offered: list[Candidate]
    plans: list[Candidate]
    recommended: Candidate
    files: list[Model]
    """Of INT8 and of the plans."""

    @property
    def fp32(self) -> Candidate:
        return self.tried[0]

    @property
    def all_offered(self) -> list[Candidate]:
        return [*self.offered, *self.plans]


def _choose(
    options: Options, settings: TrainingSettings, crossed: OutOfFold | None, calibration: Judged, test: Judged
) -> _Chosen:
    """The guard, the thresholds, and the arithmetics that are offered. Writes the files of the latter."""
    # the photos of a cross-validation are those of the training
    trained = trained_with(options.run) if crossed is None else {"train": {}, "val": {}}
    remark = check_separate(trained, calibration, test) + (cross_validated.REMARK if crossed else "")
    golden = golden_places(calibration)
    guard = _guard(options, settings, crossed, calibration, test, golden)
    if isinstance(guard, Beside):
        calibration, test = guard.calibration, guard.test
    kinds = calibration.by_kind(settings)
    alphas = options.alpha or (_lowest_bound(kinds),)
    rejected = _share_of_good(options, crossed)
    tries = charge(options.run, kinds, calibration.images.fingerprint, alphas, rejected)
    chosen_from, *others = (Calibration(calibration, settings, alpha, tries, remark, rejected) for alpha in alphas)
    tried = try_out(options.precision, options.out, chosen_from)
    thresholds = [tried[0].threshold, *(other.threshold(calibration, "fp32") for other in others)]
    offered, recommended, int8_files = choose(tried, options.precision, options.out)
    plans, plan_files = _tensorrt_plans(options, chosen_from, tried[0])
    files = [*int8_files, *plan_files]
    return _Chosen(golden, guard, calibration, test, chosen_from, thresholds, tried, offered, plans, recommended, files)


def _report(
    options: Options,
    settings: TrainingSettings,
    classifier: Classifier,
    crossed: OutOfFold | None,
    manifest: Manifest,
    chosen: _Chosen,
) -> str:
    """Load the bundle as the line does, write its card, and return what is said about it."""
    guard, threshold, calibration = chosen.guard, chosen.fp32.threshold, chosen.calibration
    kinds, test = calibration.by_kind(settings), chosen.test
    engine = _load_all(options.out, chosen.offered)
    if isinstance(guard, str):
        about_small_faults = no_guard(guard)
    else:
        about_small_faults = small_faults(engine, guard.fitted, options.out, seed=0, joint=True)
    write_tradeoff(options.out, kinds, threshold)
    checks = check_guarantee(kinds, test.by_kind(settings), threshold)
    deciding = deciding_photos(calibration, settings, threshold)
    write_sheet(options.out, deciding)
    tested = [] if crossed is None else [cross_validated.nested(crossed, chosen.chosen_from)]
    warned = cap_warnings(chosen.chosen_from, threshold)
    worth = further_photos.worth(kinds, threshold.value)
    photos = [
        *(line for one in warned for line in (one, "")),
        *other_bounds(chosen.thresholds),
        *deciding_section(deciding),
        *(line for one in tested for line in cross_validated.section(one)),
        *further_photos.section(worth),
    ]
    write_card(
        options.out, manifest, settings, classifier, test, chosen.all_offered, checks, photos, about_small_faults
    )
    screen = console()
    screen.print(bounds_table(threshold), deciding_text(deciding), further_photos.worth_table(worth))
    screen.print(precision_table([*chosen.tried, *chosen.plans], chosen.recommended))
    said = [
        *map(summary, chosen.thresholds),
        *warned,
        *map(cross_validated.sentence, tested),
        *(check.sentence for check in checks),
    ]
    return "\n".join([*said, guard_summary(guard.fitted)] if isinstance(guard, Beside) else said)


def _calibration(
    options: Options, photos: Path, crossed: OutOfFold | None, settings: TrainingSettings, network: Network
) -> Judged:
    """The photos that choose the threshold, judged. Raises ConfigError, also where they can't choose the one that is asked for."""
    if crossed is not None:
        for option, value in (("--precision", options.precision), ("--tensorrt", options.tensorrt)):
            if value in ("bf16", "int8", "auto"):
                raise ConfigError(
                    f"{option} {value}: {options.run} was cross-validated in fp32, which says nothing of the threshold in another "
                    f"arithmetic; leave {option} out, or give photos of other parts as --calibration"
                )
        return cross_validated.judge_out_of_fold(crossed, settings, network)
    if not is_csv(photos):
        print(
            f"build_engine: {photos}: is a folder, so each file counts as a part of its own. If several photos show one "
            "part, the bound is too low; give a manifest that groups them (tools/prepare_data.py)",
            file=sys.stderr,
        )
    return judge(photos, "val", settings, network)


def _guard(
    options: Options,
    settings: TrainingSettings,
    crossed: OutOfFold | None,
    calibration: Judged,
    test: Judged,
    golden: list[int],
) -> Beside | str:
    """The guard, or why there is none."""
    if options.no_guard:
        return "it was built with --no-guard"
    try:
        label = settings.classes.index(settings.pass_class)
        if crossed is not None and options.guard_photos is None:
            may_fold = options.surface is None
            photos = good_of_crossed(calibration.images, calibration.parts, test.images, label, may_fold=may_fold)
        else:
            photos = good_beside(_photos_to_fit(options, settings), calibration.images, test.images, label, 0)
        files = [calibration.images.files[place] for place in golden]
        beside = fit_beside(photos, calibration, test, settings, files, options.rejected, options.surface)
    except ConfigError as error:
        if options.guard_photos is not None:
            raise
        print(f"build_engine: this engine sees no small faults: it has no guard, because {error}", file=sys.stderr)
        return str(error)
    few = too_few(beside.fitted.photos)
    if few is not None:
        print(f"build_engine: {few}", file=sys.stderr)
    return beside


def _photos_to_fit(options: Options, settings: TrainingSettings) -> tuple[Good, ...]:
    source = options.guard_photos or options.data
    if source is not None:
        return to_fit(source, settings.pass_class)
    trained = trained_with(options.run)
    if trained is None:
        raise ConfigError(
            f"{options.run}: does not say which photos it was trained with; give good ones with --guard-photos"
        )
    return tuple(
        Good(Path(path), digest)
        for digest, path in trained["train"].items()
        if Path(path).parent.name == settings.pass_class
    )


def _keep_photos(options: Options, settings: TrainingSettings, crossed: OutOfFold | None, chosen: _Chosen) -> None:
    """Let the engine learn on the line, if it can."""
    try:
        trained = None if crossed else trained_photos(options.data, trained_with(options.run), settings)
    except ConfigError as error:
        print(f"build_engine: this engine can't learn on the line (inspectd learn): {error}", file=sys.stderr)
        return
    keep_photos(options.out, chosen.calibration, trained)


def _load_all(bundle: Path, offered: Sequence[Candidate]) -> Engine:
    """Load the bundle as the line does, with its golden images, in each arithmetic; return the engine in fp32."""
    engines = []
    for candidate in offered:
        if candidate.precision == "onnxruntime":
            config = InferenceConfig(backend="onnxruntime", precision="fp32")
        else:
            config = InferenceConfig(backend="openvino", precision=candidate.precision)
        engines.append(load_engine(load_bundle(bundle), config))
    return engines[0]


def _share_of_good(options: Options, crossed: OutOfFold | None) -> float | None:
    """That may be rejected, at the cost of the bound; None: any."""
    usual = USUAL_CAP if crossed is not None and options.alpha is None else 1
    share = usual if options.good_rejected is None else options.good_rejected
    return share if share < 1 else None


def _lowest_bound(kinds: ByKind) -> float:
    """The bound for these calibration parts, with a warning if they are too few for the usual one."""
    if not kinds.unknown:
        print(
            "build_engine: no folder unknown_... is given, so there is no bound on how many unknown labels pass",
            file=sys.stderr,
        )
    alpha = usual_alpha(kinds)
    if alpha > USUAL_ALPHA:
        print(
            f"build_engine: {len(kinds.all_faulty)} faulty and {len(kinds.all_unknown)} unknown parts are too few for "
            f"{USUAL_ALPHA:.2%}. The best possible bound is {alpha:.1%}. For {USUAL_ALPHA:.2%} you need "
            f"{parts_needed(USUAL_ALPHA)} of each.",
            file=sys.stderr,
        )
    return alpha


def _tensorrt_plans(options: Options, calibration: Calibration, fp32: Candidate) -> tuple[list[Candidate], list[Model]]:
    """The plans that were asked for, each with a threshold of its own, and their files."""
    wanted: dict[str | None, tuple[Literal["fp16", "int8"], ...]] = {
        None: (),
        "fp16": ("fp16",),
        "int8": ("fp16", "int8"),
    }
    plans, files = [], []
    for precision in wanted[options.tensorrt]:
        plan, graph = try_out_plan(precision, options.out, calibration, fp32)
        plans.append(plan)
        files.append(write_plan(options.out, graph, precision))
    return plans, files
