rule prepare_dataset:
    input:
        card=PLAN.dataset_card,
        code=PLAN.dataset_code,
        files=PLAN.dataset_files,
    output:
        PLAN.processed("{dataset}"),
    log:
        PLAN.data_logs / "{dataset}.log",
    benchmark:
        PLAN.data_benchmarks / "{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        config=PLAN.layout.config,
    message:
        "Prepare data set {wildcards.dataset}"
    shell:
        "python -m stprune data prepare {wildcards.dataset} --config {params.config:q} > {log:q} 2>&1"


rule describe:
    input:
        data=PLAN.processed("{dataset}"),
        code=PLAN.data_code,
    output:
        PLAN.described("{dataset}"),
    log:
        PLAN.data_logs / "{dataset}_described.log",
    benchmark:
        PLAN.data_benchmarks / "{dataset}_described.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        config=PLAN.layout.config,
    message:
        "Describe data set {wildcards.dataset}"
    shell:
        "python -m stprune data describe {wildcards.dataset} --config {params.config:q} > {log:q} 2>&1"
