"""The bill of materials, and what an audit's answer is taken for."""

from __future__ import annotations

from pathlib import Path

from deploy.sbom.bill import audit, bill, read

CONSTRAINTS = (Path(__file__).parents[3] / "constraints.txt").read_text(encoding="utf-8")


def test_every_pinned_package_stands_on_the_bill_with_its_hashes() -> None:
    packages = read(CONSTRAINTS)
    assert len(packages) == sum("==" in line for line in CONSTRAINTS.splitlines() if not line.startswith("#"))
    assert all(one.hashes for one in packages)
    made = bill(packages, "1")
    assert made["bomFormat"] == "CycloneDX"
    references = [one["purl"] for one in made["components"]]
    assert len(references) == len(set(references)) == len(packages)
    assert any(reference.startswith("pkg:pypi/cryptography@") for reference in references)


def test_the_same_packages_make_the_same_bill() -> None:
    packages = read(CONSTRAINTS)
    assert bill(packages, "1") == bill(packages, "1")
    assert bill(packages[1:], "1")["serialNumber"] != bill(packages, "1")["serialNumber"]


def test_what_is_known_is_named() -> None:
    said = audit({"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}]})
    assert said.known == ("a 1: PYSEC-1",)
    assert str(said) == "1 packages audited, 0 could not be asked about; known: a 1: PYSEC-1"


def test_an_audit_that_could_ask_about_nothing_does_not_say_that_all_is_well() -> None:
    said = audit({"dependencies": [{"name": "a", "skip_reason": "not found"}]})
    assert (said.known, said.audited) == ((), 0)
    assert "nothing was audited" in str(said)
