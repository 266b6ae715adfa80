rule flops:
    input:
        manifest=rules.data.output.manifest,
    output:
        table=f"{RESULTS}/flops.csv",
    log:
        f"{LOGS}/flops.log",
    conda:
        "../../envs/paumer.yaml"
    resources:
        mem_mb=4000,
    params:
        settings=text(stages.CostSettings.of(experiment, timed=False)),
    message:
        "Counting multiply-accumulates"
    shell:
        "paumer flops --settings {params.settings:q} --data {input.manifest:q} --output {output.table:q}"
        " > {log:q} 2>&1"


# Times every method, so it has the machine to itself, too.
rule candidates:
    input:
        manifest=rules.data.output.manifest,
    output:
        table=f"{RESULTS}/candidates.csv",
    log:
        f"{LOGS}/candidates.log",
    conda:
        "../../envs/paumer.yaml"
    threads: ALL_CORES
    resources:
        expected_seconds=DURATIONS.candidates(ALL_CORES),
        mem_mb=8000,
        gpu=GPUS,
    params:
        settings=text(stages.CandidateSettings.of(experiment, timed=True)),
    message:
        "Finding parameters of every method for the same speed-ups"
    shell:
        "paumer candidates --settings {params.settings:q} --data {input.manifest:q} --output {output.table:q}"
        " --threads {threads} > {log:q} 2>&1"


# All variants in one process, which has the machine to itself: `exclusive` is the whole of it.
rule throughput:
    input:
        manifest=rules.data.output.manifest,
        weights=timed_runs("model.safetensors"),
        run=timed_runs("run.json"),
        points=COMPARED,
    output:
        table=f"{RESULTS}/throughput.csv",
        rounds=f"{RESULTS}/throughput_rounds.csv",
        machine=f"{RESULTS}/machine.json",
    log:
        f"{LOGS}/throughput.log",
    conda:
        "../../envs/paumer.yaml"
    threads: ALL_CORES
    resources:
        expected_seconds=throughput_seconds,
        mem_mb=8000,
        gpu=GPUS,
    params:
        settings=text(TIMED),
        runs=repeated("--run", "weights", folders=True),
        points=repeated("--points", "points"),
    message:
        "Measuring images/s"
    shell:
        "paumer throughput --settings {params.settings:q} --data {input.manifest:q} {params.runs} {params.points}"
        " --output {output.table:q} --rounds {output.rounds:q} --machine {output.machine:q} --threads {threads}"
        " > {log:q} 2>&1"
