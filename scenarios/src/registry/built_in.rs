//! What is built in, name by name.

use super::Registry;
use crate::{data, models, partition, streams};
use lyceum_strategies::{aggregation, continual, robust, selection, steering, transforms};

impl Registry {
    /// Adds everything that is built in but layers, which their own crate lists.
    pub(super) fn add_built_in(&mut self) {
        self.add_strategies();
        self.add_selectors();
        self.add_data();
        self.add_partitions();
        self.add_models();
        self.add_streams();
        self.add_methods();
        self.add_transforms();
        self.add_steering();
    }

    fn add_strategies(&mut self) {
        use aggregation::*;
        use robust::*;
        self.strategy::<FedAvg>(
            "fed_avg",
            "weighted mean of the updates (McMahan et al. 2017)",
        );
        self.strategy::<FedProx>(
            "fed_prox",
            "FedAvg with a pull towards the global model (Li et al. 2020)",
        );
        self.strategy::<FedAvgM>("fed_avg_m", "server momentum (Hsu et al. 2019)");
        self.strategy::<FedAdam>("fed_adam", "Adam on the server (Reddi et al. 2021)");
        self.strategy::<FedYogi>("fed_yogi", "Yogi on the server (Reddi et al. 2021)");
        self.strategy::<FedAdagrad>("fed_adagrad", "Adagrad on the server (Reddi et al. 2021)");
        self.strategy::<Scaffold>(
            "scaffold",
            "control variates against client drift (Karimireddy et al. 2020)",
        );
        self.strategy::<FedNova>(
            "fed_nova",
            "updates normalised by local work (Wang et al. 2020)",
        );
        self.strategy::<FedDyn>("fed_dyn", "dynamic regularisation (Acar et al. 2021)");
        self.strategy::<PosteriorProduct>(
            "posterior_product",
            "product of the clients' posteriors, the prior divided out (Bui et al. 2018)",
        );
        self.strategy::<PosteriorHull>(
            "posterior_hull",
            "middle of the clients' posteriors: mean of means and of deviations (Lu et al. 2023)",
        );
        self.strategy::<Median>("median", "median of each coordinate (Yin et al. 2018)");
        self.strategy::<TrimmedMean>(
            "trimmed_mean",
            "mean of each coordinate without its extremes (Yin et al. 2018)",
        );
        self.strategy::<Krum>(
            "krum",
            "the update that most others are close to (Blanchard et al. 2017)",
        );
        self.strategy::<GeometricMedian>(
            "geometric_median",
            "the point with the least sum of distances (Pillutla et al. 2022)",
        );
    }

    fn add_selectors(&mut self) {
        use selection::*;
        self.selector::<Uniform>("uniform", "a fresh uniform draw each round");
        self.selector::<Passes>("passes", "everybody once, in random order, then again");
        self.selector::<All>("all", "every client in every round");
        self.selector::<Difficulty>(
            "difficulty",
            "pool of clients paced by the loss of their samples (Vahidian et al. 2023)",
        );
        self.selector::<PowerOfChoice>(
            "power_of_choice",
            "the highest losses among random candidates (Cho et al. 2020)",
        );
        self.selector::<Oort>(
            "oort",
            "high statistical utility with exploration (Lai et al. 2021)",
        );
    }

    fn add_data(&mut self) {
        use data::*;
        self.data_set::<Digits>("digits", "built in: 1,797 handwritten digits of 8x8 pixels");
        self.data_set::<Mixture>(
            "mixture",
            "generated: Gaussian mixture with label noise, easy and hard samples",
        );
        self.data_set::<NParity>(
            "n_parity",
            "generated: questions about the last N bits of sequences, for each N of a range",
        );
        self.data_set::<Synthetic>(
            "synthetic",
            "generated on demand: Synthetic(alpha, beta) of the FedProx paper",
        );
        self.data_set::<Mnist>("mnist", "by folder: 70,000 digits of 28x28 pixels");
        self.data_set::<FashionMnist>(
            "fashion-mnist",
            "by folder: 70,000 articles of clothing of 28x28 pixels",
        );
        self.data_set::<Cifar10Subset>(
            "cifar10-subset",
            "by folder: 12,000 colour images of CIFAR-10",
        );
        self.data_set::<Cifar100Subset>(
            "cifar100-subset",
            "by folder: 12,000 colour images of CIFAR-100",
        );
        self.data_set::<LeanPremises>(
            "lean-premises",
            "by folder: theorems of 26 Lean repositories and the premises of their proofs, as pairs of texts",
        );
        self.data_set::<Idx>("idx", "by path: IDX files of any rank, plain or gzipped");
        self.data_set::<CifarBinary>(
            "cifar-binary",
            "by path: the binary format of CIFAR-10 and CIFAR-100",
        );
        self.data_set::<Csv>(
            "csv",
            "by path: numbers with a label column and, if wanted, a client column",
        );
        self.data_set::<Text>(
            "text",
            "by path: texts with labels, or to be gone on with token by token",
        );
        self.data_set::<TinyShakespeare>(
            "tiny-shakespeare",
            "by folder: 1,115,394 characters of Shakespeare's plays by 309 speakers",
        );
        self.data_set::<SmsSpam>(
            "sms-spam",
            "by folder: 5,574 text messages, 747 of them spam",
        );
    }

    fn add_partitions(&mut self) {
        use partition::*;
        self.partition::<Iid>("iid", "equal shares of a shuffled pool");
        self.partition::<Dirichlet>(
            "dirichlet",
            "each class cut in Dirichlet proportions (Vahidian et al. 2023)",
        );
        self.partition::<DirichletEqual>(
            "dirichlet_equal",
            "equal sizes, class mix of each client from a Dirichlet",
        );
        self.partition::<LabelsPerClient>(
            "labels_per_client",
            "a fixed number of classes per client",
        );
        self.partition::<QuantitySkew>("quantity_skew", "sizes from a Dirichlet, classes mixed");
        self.partition::<ByClient>("by_client", "the owners that the data set names");
        self.partition::<ByDifficulty>(
            "by_difficulty",
            "sorted by an expert's loss, then cut: easy clients and hard ones",
        );
    }

    fn add_streams(&mut self) {
        use streams::*;
        self.stream::<ClassIncremental>(
            "class_incremental",
            "every task brings new classes, one head for all",
        );
        self.stream::<TaskIncremental>(
            "task_incremental",
            "every task brings new classes, a head for each task",
        );
        self.stream::<DomainIncremental>(
            "domain_incremental",
            "every task shows the same classes in its own way",
        );
        self.stream::<Ibcl>(
            "ibcl",
            "a knowledge base of posteriors that answers any preference over tasks (Lu et al. 2023)",
        );
        self.stream::<Progressive>(
            "progressive",
            "one group of samples after another, with validation of each (LeanAgent: Kumarappan et al. 2025)",
        );
        self.stream::<Online>("online", "new classes with every task, in one pass");
        self.stream::<Blurry>(
            "blurry",
            "new classes with every task, a share of them mixed into the others",
        );
        self.stream::<TaskFree>(
            "task_free",
            "classes in groups, without a word when one ends",
        );
        self.stream::<GradualDrift>("gradual_drift", "tasks that fade into each other");
    }

    fn add_methods(&mut self) {
        use continual::*;
        self.method::<Naive>("naive", "fine-tuning: holds on to nothing");
        self.method::<Joint>("joint", "the samples of all tasks from the start");
        self.method::<Cumulative>("cumulative", "the samples of all tasks so far");
        self.method::<Freeze>("freeze", "layers stay as the first tasks left them");
        self.method::<Lora>(
            "lora",
            "low-rank adaptation of a frozen model (Hu et al. 2022), with EWC (Xiang et al. 2023)",
        );
        self.method::<Ewc>(
            "ewc",
            "elastic weight consolidation (Kirkpatrick et al. 2017; Schwarz et al. 2018)",
        );
        self.method::<AveragedEwc>(
            "averaged_ewc",
            "EWC whose importances the server averages (after Shoham et al. 2019)",
        );
        self.method::<Vcl>(
            "vcl",
            "variational continual learning: the posterior is the next prior (Nguyen et al. 2018)",
        );
        self.method::<VclCoreset>(
            "vcl_coreset",
            "variational continual learning with samples held out for a last fit (Nguyen et al. 2018)",
        );
        self.method::<L2>("l2", "a pull to the parameters at the end of the last task");
        self.method::<Si>("si", "synaptic intelligence (Zenke et al. 2017)");
        self.method::<Mas>("mas", "memory aware synapses (Aljundi et al. 2018)");
        self.method::<Er>(
            "er",
            "experience replay from a buffer (Chaudhry et al. 2019)",
        );
        self.method::<Der>(
            "der",
            "replay matched to the logits of old (Buzzega et al. 2020)",
        );
        self.method::<DerPp>("der_pp", "DER with labels besides (Buzzega et al. 2020)");
        self.method::<Gem>(
            "gem",
            "gradients that no earlier task loses by (Lopez-Paz and Ranzato 2017)",
        );
        self.method::<AGem>(
            "a_gem",
            "gradients turned from a reference (Chaudhry et al. 2019)",
        );
        self.method::<GDumb>(
            "gdumb",
            "trains anew on a class-balanced buffer (Prabhu et al. 2020)",
        );
        self.method::<Icarl>(
            "icarl",
            "exemplars, old answers and nearest means (Rebuffi et al. 2017)",
        );
        // Behind those that add rows, whose number it weighs its own against.
        self.method::<Lwf>("lwf", "learning without forgetting (Li and Hoiem 2016)");
    }

    fn add_steering(&mut self) {
        use steering::*;
        self.steering::<Average>(
            "average",
            "keeps and judges the mean of the models of rounds (stochastic weight averaging)",
        );
    }

    fn add_transforms(&mut self) {
        use transforms::*;
        self.transform::<Clip>(
            "clip",
            "shortens an update to a largest length (McMahan et al. 2018)",
        );
    }

    fn add_models(&mut self) {
        self.model::<models::Softmax>("softmax", "softmax regression: one dense layer");
        self.model::<models::Logistic>(
            "logistic",
            "logistic regression: one output for two classes",
        );
        self.model::<models::Mlp>("mlp", "dense layers with ReLU or tanh between them");
        self.model::<models::Cnn>(
            "cnn",
            "a list of convolution, pooling, normalisation and dense layers",
        );
        self.model::<models::DualEncoder>(
            "dual_encoder",
            "one tower of layers over both texts of a pair, which gives an embedding of each",
        );
        self.model::<models::Stack>("stack", "a list of layers of any kind");
        self.model::<models::CharLstm>(
            "char_lstm",
            "the next character by LSTM, as LEAF on Shakespeare (Caldas et al. 2018)",
        );
        self.model::<models::Gpt>(
            "gpt",
            "a transformer that answers at every place (Radford et al. 2019)",
        );
        self.model::<models::TextClassifier>(
            "text_classifier",
            "the class of a text by the mean of its words' vectors (Joulin et al. 2017)",
        );
        self.model::<models::Lenet5>("lenet5", "LeNet-5 for images (LeCun et al. 1998)");
        self.model::<models::FedavgCnn>(
            "fedavg_cnn",
            "the CNN for MNIST of FedAvg's paper (McMahan et al. 2017)",
        );
        self.model::<models::LeafCnn>(
            "leaf_cnn",
            "the CNN for FEMNIST of LEAF (Caldas et al. 2018)",
        );
        self.model::<models::PflCnn>(
            "pfl_cnn",
            "the CNN for CIFAR-10 of pfl-research (Granqvist et al. 2024)",
        );
        self.model::<models::Resnet9>("resnet9", "a residual network of nine layers (Page 2018)");
        self.model::<models::Resnet20>(
            "resnet20",
            "a residual network of twenty layers (He et al. 2016)",
        );
    }
}
