"""Looks at what has come: lays it out and scans it, an adapter's base before the adapter itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models_app.registry.bundles.manifest import BASE, FILES
from models_app.registry.states import Family
from workers.importing.arpa import arpa_in, take_arpa
from workers.importing.bundle import Listing
from workers.importing.intake import Intake
from workers.scanning.adapter import Base, base_of
from workers.scanning.report import Report
from workers.scanning.scan import scan_folder
from workers.scanning.stored import base_from

Progress = Callable[[int, int], None]


class Look:
    """The scan of one import; findings go into the report of its intake."""

    def __init__(
        self, intake: Intake, inputs: dict[str, Any], output: Path, progress: Progress
    ) -> None:
        self._intake, self._inputs, self._output = intake, inputs, output
        self._progress, self._report = progress, intake.report

    def plain(self) -> dict[str, Any]:
        """`facts` and `files` of a folder that came by itself."""
        folder = self._output / "model"
        files = self._intake.lay_out(folder, self._intake.common_folder())
        if (arpa := arpa_in(folder)) is not None:
            return take_arpa(arpa, folder, self._report)
        return {"facts": self._scan(folder, base_from(self._inputs["base"])), "files": files}

    def bundle(self, listing: Listing) -> dict[str, Any]:
        """The same of a bundle; `bundle` is its list, and its base where that is new here."""
        folder, brought = self._output / "model", None
        files = self._intake.lay_out(folder, FILES)
        base = base_from(self._inputs["base"])
        named = listing.manifest.base
        if named is not None:
            if base is None and named.included:
                brought, base = self._base(listing)
            elif base is None:
                called = f"{named.origin.model} v{named.origin.number}"
                said = f"The team has no version with the files of {called}"
                self._report.add("bundle.base", "", f"{said} ({named.version.digest}).")
            elif self._inputs["base_digest"] != named.version.digest:
                said = f"{base.name} was chosen as base; the bundle names"
                called = f"{named.origin.model} v{named.origin.number}"
                self._report.add("bundle.base", "", f"{said} {called}, which has other files.")
        if self._report.blocked:
            return {"facts": {}, "files": {}}
        facts = self._scan(folder, base)
        self._check_family(facts, listing.manifest.version.family, FILES)
        return {"facts": facts, "files": files,
                "bundle": {"manifest": listing.text, "base": brought}}  # fmt: skip

    def _scan(self, folder: Path, base: Base | None) -> dict[str, Any]:
        return scan_folder(folder, self._report, base=base, progress=self._progress)

    def _base(self, listing: Listing) -> tuple[dict[str, Any], Base]:
        """What is to become of the base, and its headers for the adapter."""
        folder, report = self._output / "base", Report()
        files = self._intake.lay_out(folder, BASE)
        facts = scan_folder(folder, report, progress=self._progress)
        for finding in report.findings:
            self._report.add(finding.rule, BASE + finding.file, finding.what)
        self._check_family(facts, Family.TRANSFORMER, BASE)
        name = listing.manifest.base.origin.model if listing.manifest.base else ""
        brought = {"files": files, "facts": facts, "report": report.to_dict()}
        return brought, base_of(name, folder, str(facts.get("model_type") or ""))

    def _check_family(self, facts: dict[str, Any], family: str, place: str) -> None:
        if facts and facts["family"] != family:
            said = f"The files are of the family {facts['family']}; {family} is listed."
            self._report.add("bundle.manifest", place, said)
