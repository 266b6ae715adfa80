rule evaluate:
    input:
        manifest=rules.data.output.manifest,
        weights=rules.train.output.weights,
        run=rules.train.output.run,
    output:
        table=f"{RUN}/accuracy.csv",
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
    message:
        "Evaluating {wildcards.backbone}, recipe {wildcards.recipe}, seed {wildcards.seed}"
    shell:
        "paumer evaluate --settings {params.settings:q} --data {input.manifest:q} --run {params.folder:q}"
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
