rule evaluate:
    input:
        manifest=rules.data.output.manifest,
        weights=rules.train.output.weights,
        run=rules.train.output.run,
        points=chosen_points,
    output:
        table=f"{RUN}/accuracy.csv",
        confusions=f"{RUN}/confusions.npz",
    log:
        f"{LOGS}/evaluate/{{backbone}}-{{recipe}}-seed{{seed}}.log",
    conda:
        "../../envs/paumer.yaml"
    threads: GPU_CORES
    resources:
        expected_seconds=evaluate_seconds,
        mem_mb=8000,
        gpu=GPUS,
    params:
        settings=evaluate_settings,
        folder=run_folder,
        points=repeated("--points", "points"),
    message:
        "Evaluating {wildcards.backbone}, recipe {wildcards.recipe}, seed {wildcards.seed}"
    shell:
        "paumer evaluate --settings {params.settings:q} --data {input.manifest:q} --run {params.folder:q}"
        " {params.points} --output {output.table:q} --threads {threads} > {log:q} 2>&1"


# On the split that operating points are chosen on.
use rule evaluate as evaluate_select with:
    input:
        manifest=rules.data.output.manifest,
        weights=rules.train.output.weights,
        run=rules.train.output.run,
        points=f"{RESULTS}/candidates.csv" if experiment.comparison.methods else [],
    output:
        table=f"{RUN}/select/accuracy.csv",
        confusions=f"{RUN}/select/confusions.npz",
    log:
        f"{LOGS}/evaluate_select/{{backbone}}-{{recipe}}-seed{{seed}}.log",
    params:
        settings=select_settings,
        folder=run_folder,
        points=repeated("--points", "points"),
    message:
        "Evaluating {wildcards.backbone}, recipe {wildcards.recipe}, seed {wildcards.seed}, where points are chosen"


rule robustness:
    input:
        manifest=rules.data.output.manifest,
        weights=rules.train.output.weights,
        run=rules.train.output.run,
    output:
        table=f"{RUN}/robustness.csv",
    log:
        f"{LOGS}/robustness/{{backbone}}-{{recipe}}-seed{{seed}}.log",
    conda:
        "../../envs/paumer.yaml"
    threads: GPU_CORES
    resources:
        expected_seconds=robustness_seconds,
        mem_mb=8000,
        gpu=GPUS,
    params:
        settings=text(stages.RobustnessSettings.of(experiment)),
        folder=run_folder,
    message:
        "Corrupting the images of {wildcards.backbone}, recipe {wildcards.recipe}, seed {wildcards.seed}"
    shell:
        "paumer robustness --settings {params.settings:q} --data {input.manifest:q} --run {params.folder:q}"
        " --output {output.table:q} --threads {threads} > {log:q} 2>&1"


rule semantics:
    input:
        manifest=rules.data.output.manifest,
        weights=rules.train.output.weights,
        run=rules.train.output.run,
    output:
        SEMANTICS,
    log:
        f"{LOGS}/semantics/{{backbone}}-{{recipe}}-seed{{seed}}.log",
    conda:
        "../../envs/paumer.yaml"
    threads: GPU_CORES
    resources:
        expected_seconds=semantics_seconds,
        mem_mb=8000,
        gpu=GPUS,
    params:
        settings=text(stages.SemanticsSettings.of(experiment)),
        run=run_folder,
        folder=output_folder,
    message:
        "Comparing what {wildcards.backbone}, recipe {wildcards.recipe}, seed {wildcards.seed}, is certain of with the labels"
    shell:
        "paumer semantics --settings {params.settings:q} --data {input.manifest:q} --run {params.run:q}"
        " --output {params.folder:q} --threads {threads} > {log:q} 2>&1"


rule collect_accuracy:
    input:
        runs(f"{RUN}/accuracy.csv"),
    output:
        table=f"{RESULTS}/accuracy.csv",
    log:
        f"{LOGS}/collect.log",
    localrule: True
    conda:
        "../../envs/paumer.yaml"
    resources:
        mem_mb=1000,
    message:
        "Collecting the accuracy of all runs"
    shell:
        "paumer collect {input:q} --output {output.table:q} > {log:q} 2>&1"


use rule collect_accuracy as collect_select with:
    input:
        runs(f"{RUN}/select/accuracy.csv"),
    output:
        table=f"{RESULTS}/select_accuracy.csv",
    log:
        f"{LOGS}/collect_select.log",
    message:
        "Collecting the accuracy of all runs where points are chosen"


if experiment.comparison.transferred:

    rule transferred:
        input:
            os.path.expanduser(experiment.comparison.transferred),
        output:
            table=TRANSFERRED,
        log:
            f"{LOGS}/transferred.log",
        localrule: True
        conda:
            "../../envs/paumer.yaml"
        resources:
            mem_mb=1000,
        message:
            "Taking what another experiment chose"
        shell:
            "cp {input:q} {output.table:q} > {log:q} 2>&1"


rule choose:
    input:
        accuracy=rules.collect_select.output.table,
        candidates=f"{RESULTS}/candidates.csv",
    output:
        table=CHOSEN,
    log:
        f"{LOGS}/choose.log",
    localrule: True
    conda:
        "../../envs/paumer.yaml"
    resources:
        mem_mb=1000,
    message:
        "Choosing the parameters of every method for each speed-up"
    shell:
        "paumer choose --accuracy {input.accuracy:q} --candidates {input.candidates:q} --output {output.table:q}"
        " > {log:q} 2>&1"


use rule collect_accuracy as collect_robustness with:
    input:
        runs(f"{RUN}/robustness.csv", experiment.robustness_recipes),
    output:
        table=f"{RESULTS}/robustness.csv",
    log:
        f"{LOGS}/collect_robustness.log",
    message:
        "Collecting the accuracy of all runs on corrupted images"


rule uncertainty:
    input:
        accuracy=runs(f"{RUN}/accuracy.csv"),
        confusions=runs(f"{RUN}/confusions.npz"),
    output:
        table=f"{RESULTS}/intervals.csv",
    log:
        f"{LOGS}/uncertainty.log",
    localrule: True
    conda:
        "../../envs/paumer.yaml"
    resources:
        mem_mb=4000,
    message:
        "Drawing seeds and images anew for intervals of the drops"
    shell:
        "paumer uncertainty {input.accuracy:q} --output {output.table:q} > {log:q} 2>&1"


rule bounds:
    input:
        manifest=rules.data.output.manifest,
    output:
        table=f"{RESULTS}/bounds.csv",
    log:
        f"{LOGS}/bounds.log",
    conda:
        "../../envs/paumer.yaml"
    threads: GPU_CORES
    resources:
        expected_seconds=DURATIONS.bounds(),
        mem_mb=4000,
    params:
        settings=text(stages.BoundsSettings.of(experiment)),
    message:
        "Measuring the ceiling of the patch size and a linear classifier on raw patches"
    shell:
        "paumer bounds --settings {params.settings:q} --data {input.manifest:q} --output {output.table:q}"
        " --threads {threads} > {log:q} 2>&1"
