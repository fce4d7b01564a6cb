"""The subjective study, from result folders to opinion scores."""

import base64
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from recon.cli import main
from recon.evaluation.study.questionnaire import StudyError, make_study, opinion_scores

_BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def results(tmp_path):
    """Two methods, three photos; one photo only the first can do."""
    for number, method in enumerate(("secret_fit", "secret_net")):
        for name in ("anna", "ben", "cleo")[: 3 - number]:
            place = tmp_path / method / name
            place.mkdir(parents=True)
            Image.new("RGB", (60, 40), (80 * number, 99, 0)).save(place / "overview.png")
    Image.new("RGB", (3000, 1000), (200, 0, 0)).save(tmp_path / "secret_fit" / "dora.png")
    Image.new("RGB", (30, 10), (200, 0, 0)).save(tmp_path / "secret_net" / "dora.jpg", comment="secret_net")
    return [tmp_path / "secret_fit", tmp_path / "secret_net"]


def _content(page):
    return json.loads(re.search(rb'id="content">(.*?)</script>', page, re.S)[1])


def test_the_page_holds_all_shared_pictures_and_no_names(results):
    study = make_study(results)
    entries = _content(study.page)["entries"]
    assert study.n_pictures == len(entries) == 6  # cleo has no second method
    for word in (b"secret", b"anna", b"http://", b"https://", b'src="/'):
        assert word not in study.page
    sizes = set()
    for entry in entries:
        data = base64.b64decode(entry["picture"].split(",")[1])
        assert b"secret" not in data
        sizes.add(Image.open(io.BytesIO(data)).size)
    assert (1200, 400) in sizes and (60, 40) in sizes
    tokens = json.loads(study.key)["tokens"]
    assert {entry["token"] for entry in entries} == set(tokens)
    order = [(tokens[entry["token"]]["item"], tokens[entry["token"]]["method"]) for entry in entries]
    assert order != sorted(order), "the file's own order gives the methods away"


def test_tokens_cannot_be_foreseen_but_made_again_from_the_key(results):
    study, other = make_study(results), make_study(results)
    assert study.page != other.page and not set(json.loads(study.key)["tokens"]) & set(json.loads(other.key)["tokens"])
    again = make_study(results, json.loads(study.key)["seed"])
    assert (again.page, again.key) == (study.page, study.key)
    with pytest.raises(StudyError, match="seed must be 0 or more"):
        make_study(results, -1)


@pytest.mark.slow
@pytest.mark.skipif(_BROWSER is None, reason="no chromium to open the page in")
def test_a_browser_shows_the_first_sheet(results, tmp_path):
    (tmp_path / "study.html").write_bytes(make_study(results).page)
    command = [_BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=3000", "--dump-dom", (tmp_path / "study.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    dom = done.stdout
    assert "Picture 1 of 6." in dom and dom.count("<fieldset>") == 4 and dom.count('type="radio"') == 21
    assert re.search(r'<button id="next" class="main" disabled', dom), "nothing is answered yet"
    assert '<img src="data:image/jpeg;base64,' in dom


def test_answers_become_means_and_deviations(results, tmp_path):
    study = make_study(results)
    (tmp_path / "k.key.json").write_bytes(study.key)
    key = json.loads(study.key)
    files = []
    for person, change in enumerate((0, 1)):
        answers = {
            token: {
                "realism": (4 if entry["method"] == "secret_fit" else 2) + change,
                "texture": 3,
                "shape": 5,
                "occlusion": None if entry["item"] != "anna" else 1,
            }
            for token, entry in key["tokens"].items()
        }
        files.append(tmp_path / f"a{person}.json")
        files[-1].write_text(json.dumps({"schema": key["schema"], "study": key["study"], "answers": answers}))
    rows = {row[0]: row[1:] for row in opinion_scores(tmp_path / "k.key.json", files).rows}
    assert rows["secret_fit, 6 answers"] == ("4.50 ± 0.50", "3.00 ± 0.00", "5.00 ± 0.00", "1.00 ± 0.00")
    assert rows["secret_net, 6 answers"][0] == "2.50 ± 0.50"
    assert rows["reconstruction paper"] == (3.6, 3.66, 3.2, 3.4)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"study": "other"}, "belongs to the study 'other'"),
        ({"answers": {"nobody": {}}}, "unknown token 'nobody'"),
        ({"schema": "x"}, "is no file of a study"),
        ({"score": 6}, "must be 1 to 5"),
        ({"score": True}, "must be 1 to 5"),
        ({"score": "4"}, "must be 1 to 5"),
        ({"score": [3]}, "must be 1 to 5"),
        ({"answers": []}, "expected 'answers'"),
        ({"answers": None}, "expected 'answers'"),
        ({"answers": {"nobody": [1, 2]}}, "expected 'answers'"),
        ({"answers": {"nobody": None}}, "expected 'answers'"),
        ({"answers": {"nobody": {"beauty": 3}}}, "unknown question 'beauty'"),
        ({"study": 7}, "is no file of a study"),
    ],
)
def test_answers_that_cannot_be_are_refused(results, tmp_path, change, text):
    study = make_study(results)
    (tmp_path / "k.key.json").write_bytes(study.key)
    key = json.loads(study.key)
    token = next(iter(key["tokens"]))
    content = {"schema": key["schema"], "study": key["study"], "answers": {token: {"realism": 3}}}
    if "score" in change:
        content["answers"][token]["realism"] = change["score"]
    else:
        content |= change
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(StudyError, match=text):
        opinion_scores(tmp_path / "k.key.json", [tmp_path / "a.json"])
    with pytest.raises(StudyError, match="no key file"):
        (tmp_path / "b.json").write_text(json.dumps({"schema": key["schema"], "study": key["study"]}))
        opinion_scores(tmp_path / "b.json", [tmp_path / "a.json"])


def test_the_same_answers_are_not_counted_twice(results, tmp_path):
    study = make_study(results)
    (tmp_path / "k.key.json").write_bytes(study.key)
    key = json.loads(study.key)
    content = {"schema": key["schema"], "study": key["study"], "answers": {next(iter(key["tokens"])): {"realism": 3}}}
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "b.json").write_text(json.dumps(content, indent=4))
    for pair in (("a.json", "a.json"), ("a.json", "b.json")):
        with pytest.raises(StudyError, match=f"{pair[1]}: holds the same answers as .*a.json"):
            opinion_scores(tmp_path / "k.key.json", [tmp_path / name for name in pair])


@pytest.mark.parametrize("tokens", [[], "x", {"t": None}, {"t": {"method": 3}}])
def test_a_damaged_key_is_refused(results, tmp_path, tokens):
    key = json.loads(make_study(results).key)
    (tmp_path / "k.key.json").write_text(json.dumps({**key, "tokens": tokens}))
    with pytest.raises(StudyError, match="no key file|damaged or edited"):
        opinion_scores(tmp_path / "k.key.json", [])


def test_folders_that_make_no_study_are_refused(results, tmp_path):
    with pytest.raises(StudyError, match="no such folder"):
        make_study([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyError, match="share no picture .*empty: 0"):
        make_study([results[0], tmp_path / "empty"])
    with pytest.raises(StudyError, match="different names"):
        make_study([results[0], results[0]])
    (results[0] / "anna" / "overview.png").write_bytes(b"broken")
    with pytest.raises(StudyError, match="cannot be read as a picture"):
        make_study(results)


def test_the_commands_write_and_read_the_study(results, tmp_path, capsys):
    out = tmp_path / "study.html"
    arguments = ["evaluate", "study", "--results", *map(str, results), "-o", str(out)]
    assert main(arguments) == 0
    assert out.is_file() and (tmp_path / "study.key.json").is_file()
    assert main(arguments) == 1 and "exists" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    key = json.loads((tmp_path / "study.key.json").read_text())
    answers = {token: dict.fromkeys(("realism", "texture", "shape"), 4) for token in key["tokens"]}
    (tmp_path / "a.json").write_text(json.dumps({"schema": key["schema"], "study": key["study"], "answers": answers}))
    capsys.readouterr()
    assert main(["evaluate", "opinions", "--key", str(tmp_path / "study.key.json"), str(tmp_path / "a.json")]) == 0
    assert "secret_net, 3 answers" in capsys.readouterr().out
    assert main(["evaluate", "opinions", "--key", str(tmp_path / "none"), str(tmp_path / "a.json")]) == 2
    assert not np.any([p.name.endswith(".part") for p in tmp_path.iterdir()])
