//! Evaluations as text.

use std::fmt::Write;

use repghost_coco::Evaluation;

/// The twelve numbers, one line an evaluation.
pub fn numbers(evaluations: &[Evaluation]) -> String {
    let mut text = String::new();
    if let Some(first) = evaluations.first() {
        let header: String = first.numbers.named().iter().map(|(name, _)| format!("{name:>8}")).collect();
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:<6}{header}", "");
    }
    for evaluation in evaluations {
        // pycocotools' -1 stands for "nothing to measure".
        let shown = |value: f64| if value < 0.0 { format!("{:>8}", "-") } else { format!("{value:>8.4}") };
        let values: String = evaluation.numbers.named().iter().map(|(_, value)| shown(*value)).collect();
        let _ = writeln!(text, "{:<6}{values}", evaluation.iou_type.name());
    }
    text
}

/// The numbers by class, those without an object left out.
pub fn classes(evaluation: &Evaluation) -> String {
    let shown: Vec<_> = evaluation.classes.iter().filter(|class| class.ap.is_some()).collect();
    let widest = shown.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).clamp(5, 30);
    let mut text = format!(
        "{:<6}{:>10}  {:<widest$}{:>9}{:>8}{:>8}{:>8}\n",
        evaluation.iou_type.name(),
        "id",
        "class",
        "objects",
        "AP",
        "AP50",
        "AR100"
    );
    let value = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    for class in shown {
        let _ = writeln!(
            text,
            "{:<6}{:>10}  {:<widest$}{:>9}{:>8}{:>8}{:>8}",
            "",
            class.category_id,
            class.name,
            class.objects,
            value(class.ap),
            value(class.ap50),
            value(class.ar100)
        );
    }
    text
}
