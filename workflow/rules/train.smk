rule train:
    input:
        PLAN.block_data,
    output:
        PLAN.block_stamp("{dataset}/{backbone}/{part}"),
    log:
        PLAN.logs / "{dataset}/{backbone}/{part}.log",
    benchmark:
        PLAN.benchmarks / "{dataset}/{backbone}/{part}.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.block_threads
    resources:
        mem_mb=PLAN.block_megabytes,
        runtime=PLAN.block_minutes,
        gpu=PLAN.block_gpus,
    params:
        config=PLAN.layout.config,
    message:
        "Train {wildcards.backbone} on {wildcards.dataset}, runs of {wildcards.part}"
    shell:
        "python -m stprune train-block {wildcards.dataset}/{wildcards.backbone}/{wildcards.part}"
        " --config {params.config:q} 2>&1 | tee -i {log:q} >&2"
