//! Where a Ghost module joins its halves.

use repghost_backbone::Backbone;

use super::eager;

/// A place where two tensors of one shape meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Module path.
    pub path: String,
    /// Shape of each half, `[N, C, H, W]`.
    pub half: [i64; 4],
}

/// The sites of a network on images `[N, 3, H, W]`, in order. (It runs once on one image.)
pub fn of(net: &Backbone, image: [i64; 4]) -> Vec<Site> {
    let [n, _, height, width] = image;
    let site = |(path, [_, c, h, w]): (String, [i64; 4])| Site { path, half: [n, c, h, w] };
    eager::joins(net, [height, width]).into_iter().map(site).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use repghost_backbone::BackboneConfig;

    /// GhostNet has 16 bottlenecks of two Ghost modules each. Its first: 16 channels at stride 2, so halves of 8 at 112 x 112.
    #[test]
    fn ghostnet_has_32() {
        let net = BackboneConfig::named("ghostnet").build_classifier(10).unwrap();
        let sites = of(&net, [2, 3, 224, 224]);
        assert_eq!(sites.len(), 32);
        assert_eq!((sites[0].half, sites[31].half), ([2, 8, 112, 112], [2, 80, 7, 7]));
        assert!(sites[0].path.ends_with("blocks.0.0.ghost1"), "{}", sites[0].path);
    }
}
