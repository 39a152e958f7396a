rule train:
    input:
        data=PLAN.run_data,
        code=PLAN.run_code,
    output:
        metrics=PLAN.run_file("metrics.json"),
        epochs=PLAN.run_file("epochs.csv"),
        kept=PLAN.run_file("kept.npz"),
    log:
        PLAN.run_file("train.log", "logs"),
    benchmark:
        PLAN.run_file("train.tsv", "benchmarks")
    conda:
        "../../environment.yml"
    threads: PLAN.run_threads
    resources:
        mem_mb=PLAN.run_megabytes,
        runtime=PLAN.run_minutes,
        gpu=PLAN.run_gpus,
    params:
        config=PLAN.layout.config,
        fingerprint=PLAN.run_fingerprint,
        # In place of some eighty inputs a run, of which a large grid has millions.
        sources=PLAN.run_digest,
    message:
        "Train {wildcards.backbone} on {wildcards.dataset} under {wildcards.pruner},"
        " prune ratio {wildcards.prune_ratio}, seed {wildcards.seed}"
    shell:
        "python -m stprune train --config {params.config:q} --dataset {wildcards.dataset}"
        " --backbone {wildcards.backbone} --pruner {wildcards.pruner}"
        " --prune-ratio {wildcards.prune_ratio} --seed {wildcards.seed}"
        " --threads {threads} > {log:q} 2>&1"
