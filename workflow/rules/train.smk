# Each recipe starts from the shared run of its backbone and seed, where the experiment has a shared phase.


rule train:
    input:
        manifest=rules.data.output.manifest,
        start=shared_run,
    output:
        weights=f"{RUN}/model.safetensors",
        run=f"{RUN}/run.json",
        log=f"{RUN}/train.csv",
    log:
        f"{LOGS}/train/{{backbone}}-{{recipe}}-seed{{seed}}.log",
    priority: needed_first
    conda:
        "../../envs/paumer.yaml"
    threads: GPU_CORES
    resources:
        expected_seconds=train_seconds,
        mem_mb=8000,
        # Outside params:, so that the same run on more or fewer devices is no other run.
        gpu=GPUS * experiment.training.devices,
    params:
        settings=train_settings,
        start=repeated("--start", "start", folders=True),
        folder=output_folder,
        # Outside output:, which Snakemake removes before and after a failed job; so a killed job resumes.
        checkpoint=checkpoint_folder,
    message:
        "Training {wildcards.backbone} by recipe {wildcards.recipe}, seed {wildcards.seed}"
    shell:
        "paumer train --settings {params.settings:q} --data {input.manifest:q} {params.start}"
        " --output {params.folder:q} --checkpoint {params.checkpoint:q}"
        f" --devices {DEVICES}"
        " --threads {threads} > {log:q} 2>&1"
