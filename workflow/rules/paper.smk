rule summarise:
    input:
        stamps=PLAN.stamps,
        code=PLAN.summary_code,
    output:
        PLAN.summaries,
    log:
        PLAN.log("summary"),
    benchmark:
        PLAN.benchmark("summary")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        config=PLAN.layout.config,
    message:
        "Collect all runs of the experiment"
    shell:
        "python -m stprune summarise --config {params.config:q} > {log:q} 2>&1"


rule table:
    input:
        results=PLAN.summaries,
        code=PLAN.table_code,
    output:
        csv=PLAN.layout.table("{name}", "csv"),
        markdown=report(
            PLAN.layout.table("{name}", "md"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{name}"},
        ),
        latex=PLAN.layout.table("{name}", "tex"),
    log:
        PLAN.log("table_{name}"),
    benchmark:
        PLAN.benchmark("table_{name}")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        config=PLAN.layout.config,
    message:
        "Write table {wildcards.name}"
    shell:
        "python -m stprune table {wildcards.name} --config {params.config:q} > {log:q} 2>&1"


rule figure:
    input:
        results=PLAN.summaries,
        code=PLAN.figure_code,
    output:
        pdf=PLAN.layout.figure("{name}", "pdf"),
        png=report(
            PLAN.layout.figure("{name}", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
    log:
        PLAN.log("figure_{name}"),
    benchmark:
        PLAN.benchmark("figure_{name}")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        config=PLAN.layout.config,
    message:
        "Draw figure {wildcards.name}"
    shell:
        "python -m stprune figure {wildcards.name} --config {params.config:q} > {log:q} 2>&1"


rule page:
    input:
        results=PLAN.summaries,
        code=PLAN.report_code,
    output:
        PLAN.layout.report,
    log:
        PLAN.log("report"),
    benchmark:
        PLAN.benchmark("report")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        config=PLAN.layout.config,
    message:
        "Write the report"
    shell:
        "python -m stprune report --config {params.config:q} > {log:q} 2>&1"
