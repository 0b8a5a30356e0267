"""Is the robustness real: the list of attacks, and the examples they are counted over."""

import importlib.util

import pytest

from commands import refused, works
from rrjax import runs
from rrjax.configs import masking as config_file
from rrjax.study import masking

FOOLBOX = importlib.util.find_spec("foolbox") is not None


def test_the_attacks_are_of_the_checklist():
    config = config_file.get_config()
    config.update(eps=2.0, steps=10, more_steps=50, restarts=3, far=4.0, norm="linf")
    attacks = masking._attacks(config)
    assert {attack["norm"] for attack in attacks.values()} == {"linf"}
    sizes = {key: (a["eps"], a["step_size"], a["steps"]) for key, a in attacks.items()}
    assert sizes["clean"][0] == 0
    assert sizes["pgd"] == sizes["pgd_restarts"] == sizes["pgd_margin"] == (2, 0.5, 10)
    assert sizes["pgd_more_steps"] == (2, 0.1, 50) and sizes["pgd_far"] == (8, 2, 10)
    starts = attacks["pgd_restarts"]
    assert (starts["random_start"], starts["restarts"]) == ("uniform", 3)
    assert attacks["pgd_margin"]["loss"] == "margin"


def test_every_attack_has_a_label_of_its_own():
    config = config_file.get_config()
    labels = masking.attack_labels(config)
    assert set(masking._attacks(config)) < set(labels) and len(set(labels.values())) == 9
    assert (labels["pgd"], labels["pgd_far"]) == ("PGD-20", "PGD-20, 8 eps")
    assert labels["pgd_restarts"] == "PGD-20, 5 starts"
    assert masking.attack_labels(config.to_dict()) == labels


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # foolbox's, of scipy
def test_the_command(trained, tmp_path):
    paths = [str(trained / name) for name in ("standard", "robust")]
    command = ["study", "--config=masking", f"--workdir={tmp_path}", "--config.steps=2"]
    command += [f"--config.networks={tuple(paths)}", f"--config.source={paths[1]}"]
    small = ["--config.more_steps=3", "--config.restarts=2", "--config.curve=(1, 2)"]
    shown = works(*command, "--config.n=6", *small).stdout
    results = runs.read_results(tmp_path)["masking"]["networks"]
    assert list(results) == paths
    for result in results.values():
        accuracy = result["accuracy"]
        assert len(accuracy) == (9 if FOOLBOX else 7)
        assert all(summary["n"] == 6 for summary in accuracy.values())
        if FOOLBOX:
            assert accuracy["foolbox_pgd"] == accuracy["pgd"]
        assert accuracy["clean"]["mean"] >= accuracy["pgd"]["mean"]
        assert len(result["loss"]) == 2
    # A network's own examples, made on it, are those of its own attack.
    own = results[paths[1]]["accuracy"]
    assert own["transfer"] == own["pgd"]
    assert "| PGD-2, 2 starts " in shown
    assert "curve=(0,)" in refused(*command, "--config.curve=(0,)")
