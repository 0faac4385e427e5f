"""Write a new bundle of an engine, with a guard."""

import shutil
import sys
from pathlib import Path

from inspectd.errors import EngineError
from inspectd.files.atomic_write import atomic_write
from inspectd.files.csv_file import is_csv
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.inference.bundle import Bundle
from inspectd.inference.manifest import GuardScores
from inspectd.learning.renewed import renew_card
from inspectd.terminal import console
from inspectd_tools.data.manifest import read_manifest
from inspectd_tools.deploy.guard.beside import Beside, fit_beside
from inspectd_tools.deploy.guard.bundle import write_with_guard
from inspectd_tools.deploy.guard.fitting import Fitted, fit_guard, golden_scores
from inspectd_tools.deploy.guard.options import FitOptions
from inspectd_tools.deploy.guard.photos import good_beside, good_photos, to_fit, too_few
from inspectd_tools.deploy.guard.rechoose import Rechosen, rechoose
from inspectd_tools.deploy.guard.section import summary
from inspectd_tools.deploy.guard.small_faults import small_faults
from inspectd_tools.deploy.judged import judge
from inspectd_tools.deploy.keeping import keep_scores
from inspectd_tools.deploy.precision import network_at
from inspectd_tools.deploy.separate import check_separate
from inspectd_tools.deploy.threshold_report import bounds_table
from inspectd_tools.deploy.threshold_report import summary as threshold_summary


def add_guard(options: FitOptions) -> None:
    """Raises ConfigError, EngineError and OSError."""
    bundle = load_bundle(options.engine)
    beside = _beside(options, bundle)
    rechosen = None if beside is None else _rechosen(options, bundle, beside)
    if beside is None:
        _check_that_thresholds_may_stay(bundle, "no calibration images of all classes are given")
        photos = good_photos(options.data, bundle.manifest.pass_class, options.seed, may_fold=options.surface is None)
        fitted = fit_guard(photos, options.rejected, options.surface, options.seed)
        golden = golden_scores(_golden(bundle), fitted.guard)
    else:
        fitted, golden = beside.fitted, beside.golden
    few = too_few(fitted.photos)
    if few is not None:
        print(f"fit_guard: {few}", file=sys.stderr)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(options.out) as unfinished:
        try:
            _write(unfinished, bundle, fitted, golden, rechosen, options.seed)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    print(f"{options.out}: {summary(fitted)}")
    if rechosen is None:
        print("The thresholds are those of before, for the network alone.")
    else:
        console().print(bounds_table(rechosen.candidates[0].threshold))
        for sentence in (
            threshold_summary(rechosen.candidates[0].threshold),
            *(check.sentence for check in rechosen.checks),
        ):
            print(sentence)


def _beside(options: FitOptions, bundle: Bundle) -> Beside | None:
    """The guard beside the network, on calibration and test images of all classes; None if none are given."""
    manifest, manifest_data = bundle.manifest, None
    if is_csv(options.data) and read_manifest(options.data).classes == manifest.classes:
        manifest_data = options.data
    calibration, test = options.calibration or manifest_data, options.test or manifest_data
    if calibration is None or test is None:
        return None
    network = network_at(bundle.folder, "fp32")
    judged = judge(calibration, "val", manifest, network), judge(test, "test", manifest, network)
    check_separate({"train": {}, "val": {}}, *judged)
    label = manifest.classes.index(manifest.pass_class)
    photos = good_beside(
        to_fit(options.data, manifest.pass_class), judged[0].images, judged[1].images, label, options.seed
    )
    return fit_beside(photos, *judged, manifest, _golden(bundle), options.rejected, options.surface, options.seed)


def _rechosen(options: FitOptions, bundle: Bundle, beside: Beside) -> Rechosen | None:
    """None if the photos of a manifest can't show the engine's bound: then its thresholds stay."""
    try:
        return rechoose(bundle, beside)
    except EngineError as error:
        if options.calibration is not None:
            raise
        _check_that_thresholds_may_stay(bundle, str(error))
        print(f"fit_guard: the thresholds stay: {error}", file=sys.stderr)
        return None


def _check_that_thresholds_may_stay(bundle: Bundle, reason: str) -> None:
    guard = bundle.manifest.guard
    if guard is not None and guard.joint:
        raise EngineError(
            f"{bundle.folder}: its thresholds were chosen together with its guard, so a new guard needs new thresholds, but "
            f"{reason}; give --calibration and --test, or build the engine again"
        )


def _write(
    folder: Path, bundle: Bundle, fitted: Fitted, golden: tuple[GuardScores, ...], rechosen: Rechosen | None, seed: int
) -> None:
    thresholds = None if rechosen is None else rechosen.keys(bundle.manifest)
    manifest = write_with_guard(bundle, fitted, golden, folder, thresholds)
    keep_scores(folder, None if rechosen is None else rechosen.beside.calibration)
    engine = load_engine(load_bundle(folder), InferenceConfig())  # as the line loads it, with its golden images
    sections = [small_faults(engine, fitted, folder, seed, joint=rechosen is not None)]
    if rechosen is not None:
        rechosen.write_pictures(folder, manifest)
        sections += rechosen.sections(manifest)
    renew_card(folder, manifest, sections)


def _golden(bundle: Bundle) -> list[Path]:
    return [bundle.folder / golden.path for golden in bundle.manifest.golden]
